"""Push to apps over the Apple Push Notification service."""
