"""How long alerts that are over are kept."""
