"""Challenges: issued for one purpose and one transaction, answered once, and on record."""
