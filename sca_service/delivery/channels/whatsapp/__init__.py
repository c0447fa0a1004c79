"""Suppliers that carry messages by whatsapp."""
