"""OCRA (RFC 6287): a device answers a question that is made from the transaction, under a key it shares with us."""
