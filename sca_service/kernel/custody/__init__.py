"""Who keeps the keyring: a plain file, or an envelope that only an HSM or a key service opens."""
