"""What `dlbc bench miner` measures, a module for each figure."""
