"""E-mail over SMTP (RFC 5321), to a mail server of the bank's or of a supplier's."""
