"""The auditor's desk: pages that show the log, one challenge's story, and the proof of each event."""
