"""Suppliers that carry messages by sms."""
