"""OAuth2 client credentials (RFC 6749, section 4.4), beside API keys: how a client is given access for five minutes."""
