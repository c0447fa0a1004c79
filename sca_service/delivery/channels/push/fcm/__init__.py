"""Push to apps over Firebase Cloud Messaging, HTTP v1."""
