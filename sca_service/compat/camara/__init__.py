"""CAMARA one-time-password-sms 1.1 (GSMA Open Gateway): a code to a number, and back."""
