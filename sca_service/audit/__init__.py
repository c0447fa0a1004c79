"""The record: audit events, written before anybody acts on what they say."""
