"""HTTP: one controller file per resource, schemas, problems, client authentication, idempotency."""
