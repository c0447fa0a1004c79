"""The traces of challenges, for a collector of the operator's (OpenTelemetry)."""
