"""Traffic, for operators: how each route does now against a week ago, where codes do not arrive, what it costs."""
