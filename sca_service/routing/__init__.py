"""Which supplier carries a message: prices, sender registration, portability, breakers and the scorecard."""
