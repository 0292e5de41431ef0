"""What `dlbc bench hostile` is made of."""
