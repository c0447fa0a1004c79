"""Signed calls to banks that tell what happened, as Standard Webhooks says."""
