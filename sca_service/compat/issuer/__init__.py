"""Card processors' challenges: a signed request in, an answer within two seconds, the result by webhook."""
