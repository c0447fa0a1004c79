"""When strong customer authentication may be left out, and what comes of it (RTS chapter III)."""
