"""The local network: a chain (Anvil), an IPFS node (Kubo as a library) and the contracts, on loopback only."""
