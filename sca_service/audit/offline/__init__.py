"""The auditor's side of the log: everything is recomputed, and nothing of what the service says is believed."""
