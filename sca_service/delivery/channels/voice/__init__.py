"""Suppliers that carry messages by voice."""
