"""SMS pumping: messages that nobody answers, stopped before they are paid for."""
