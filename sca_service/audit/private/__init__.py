"""What is personal about an event: commitments in the leaf, values beside it under a key per payer."""
