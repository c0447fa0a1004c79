"""Passkeys (W3C WebAuthn Level 3), and payments that the browser shows and a passkey signs (W3C SPC)."""
