"""OpenID CIBA Core 1.0, poll mode: a bank's OpenID Provider has a payer asked on the payer's own device."""
