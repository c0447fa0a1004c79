"""SMS over Twilio's Messages resource (`kind = "twilio-messages"`)."""
