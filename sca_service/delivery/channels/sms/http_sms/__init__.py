"""SMS over any HTTP API that its section of `suppliers.toml` describes (`kind = "http-sms"`)."""
