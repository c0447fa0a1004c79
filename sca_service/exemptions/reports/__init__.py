"""Fraud rates and quarterly figures (RTS Art. 19 to 21)."""
