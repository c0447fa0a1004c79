"""Whom a payer trusts (RTS Art. 13)."""
