"""A payer gets, keeps and loses authenticators (RTS Art. 24 to 27)."""
