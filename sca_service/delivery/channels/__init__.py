"""A folder for each channel, in it a folder for each kind of supplier, each with the same files (see `supplier.py`)."""
