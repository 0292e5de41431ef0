"""What `bench/economy.py` is made of: rules, books, rounds, votes; attacks, a market of agents, sweeps; plots."""
