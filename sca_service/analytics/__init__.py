"""What messages, challenges and alerts come to: counted from the audit log, and from nothing else."""
