"""How often: limits that are exact under parallel load."""
