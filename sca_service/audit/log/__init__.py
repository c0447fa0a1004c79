"""The log: tiles, checkpoints and proofs over the audit events (RFC 6962, C2SP tlog-tiles)."""
