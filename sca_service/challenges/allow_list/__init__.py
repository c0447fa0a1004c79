"""The allow-list of the pumping guard: durable in PostgreSQL, copied to Redis where the guard asks."""
