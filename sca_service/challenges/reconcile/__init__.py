"""Reconcile: whether challenges, deliveries and answers are in the log, and the log's events among them, each once."""
