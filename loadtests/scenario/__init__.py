"""A whole day in minutes: banks, issuers, auditors and attackers at work on the real service: `make loadtest`."""
