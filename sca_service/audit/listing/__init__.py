"""The events that fit what an auditor asks for, in the order of the log."""
