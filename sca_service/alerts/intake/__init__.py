"""Takes alerts in: durable and deduplicated, one or a thousand at once."""
