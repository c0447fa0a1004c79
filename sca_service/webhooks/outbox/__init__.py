"""What is to be told to endpoints, durable, and how it gets there."""
