"""Ids: prefixed, opaque to callers, not guessable (128 random bits)."""

import secrets


def new_id(prefix: str) -> str:
    """A fresh id such as `evt_5f0c…`: the prefix, an underscore, and 128 random bits in hexadecimal."""
    return f"{prefix}_{secrets.token_hex(16)}"
