"""Calls over the Twilio Voice API: TwiML says the message, `<Gather>` hears the keys."""
