"""WhatsApp messages over Meta's Cloud API, by templates that Meta has approved."""
