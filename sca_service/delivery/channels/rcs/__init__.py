"""Suppliers that carry messages by rcs."""
