"""How likely it is that somebody else is paying: signals on facts, weighed, with their reasons."""
