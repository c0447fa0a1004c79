"""Suppliers that carry messages by email."""
