"""Short links in alerts: made, followed, counted."""
