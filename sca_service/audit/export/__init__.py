"""Export: the log as a file for an auditor's own programs, streamed in the order of the log."""
