"""What a payer has enrolled to authenticate with: one file for each kind, and where they are kept."""
