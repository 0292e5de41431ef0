"""What `bench/watermark.py` is made of: problems, training, the two schemes, attacks, and what follows from them."""
