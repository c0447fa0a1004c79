"""Facades: what banks call today, answered by this service's own challenges, limits and log."""
