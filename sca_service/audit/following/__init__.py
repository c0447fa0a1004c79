"""Following the log: each event once, in the log's order, whatever is killed when."""
