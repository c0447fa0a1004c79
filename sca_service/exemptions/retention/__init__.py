"""How long assessments are kept."""
