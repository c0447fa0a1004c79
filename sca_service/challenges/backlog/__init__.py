"""How much is due that no worker has taken up: what tells whether there are enough of them."""
