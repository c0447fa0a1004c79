"""The exemptions of RTS chapter III: one file and one pure function for each article."""
