"""Device keys: what a bank's app signs with, and what it signs."""
