"""PSD2 strong customer authentication: challenges issued, delivered, accepted once, and on record."""

__version__ = "0.1.0"
