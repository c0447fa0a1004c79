"""The sandbox's suppliers, one for every channel: the same files as every adapter, scripted by its endpoints."""
