"""Witnesses: others who sign that they saw the log grow by adding only (C2SP tlog-witness)."""
