"""RCS messages over Google's RCS Business Messaging, from a verified sender."""
