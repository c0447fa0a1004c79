"""The PIN that a payer knows: which ones may be chosen, and how one is kept and checked (RTS Art. 6)."""
