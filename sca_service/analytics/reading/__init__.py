"""Reading figures: what is asked, what is answered, and the deliveries behind it."""
