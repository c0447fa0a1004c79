"""What law and standards ask of this service, what answers it, and where that is shown."""
