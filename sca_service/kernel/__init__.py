"""The words everything else uses: clock, ids, money, phone, secret, keyring, errors, telemetry, connections."""
