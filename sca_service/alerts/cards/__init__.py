"""Cards' balances and the charges to come: what is predicted of them, and when their holders are warned."""
