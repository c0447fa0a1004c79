"""What lies under the keyring's roots: counted, and sealed anew when a newer root is current."""
