"""The numbers, ladders and texts a bank decides: files checked as a whole and bounded by law."""
