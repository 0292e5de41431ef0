"""Parts of `dlbc bench audit`."""
