"""Calls over the Vonage Voice API: an NCCO says the message and hears the keys."""
