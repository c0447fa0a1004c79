"""Messages without a code: notices that a client asks for, and those that the service owes a payer."""
