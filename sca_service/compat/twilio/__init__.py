"""Twilio Verify v2: verifications and their checks, PSD2 parameters included."""
