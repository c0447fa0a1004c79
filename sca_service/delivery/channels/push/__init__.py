"""Suppliers that carry messages by push."""
