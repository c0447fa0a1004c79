"""How long a store may take before it counts as away."""

STORE_DEADLINE_SECONDS = 0.8
"""Of each call to Redis and of each piece of work on PostgreSQL: a client is told 503 within a second."""
