"""Calls through a SIP trunk (RFC 3261) of one's own: speech by espeak-ng, sound over RTP, keys by RFC 4733 or INFO."""
