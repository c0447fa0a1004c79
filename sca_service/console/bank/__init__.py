"""The web page of the sandbox: a bank's checkout beside the payer's handset, and what the log makes of both."""
