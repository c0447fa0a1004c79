"""SMS over SMPP 3.4: one transceiver bind to an SMS centre from every worker.

Beside the files that every adapter has: `session.py` is one bind, `link.py` keeps one up, `pace.py` is how fast it
may send, `redis_store.py` knows which delivery a receipt means.
"""
