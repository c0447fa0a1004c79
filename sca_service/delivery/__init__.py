"""One message over one channel: the ladder, rendering, dispatch and receipts."""
