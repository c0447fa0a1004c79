"""The certificates that clients call with, and the keys that are bound to them."""
