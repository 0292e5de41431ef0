"""The parts of soak.py: what is posted, who acts, what is killed, what the books say."""
