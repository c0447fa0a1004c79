"""What a payer is willing to hear: opt-outs by number, consent by topic."""
