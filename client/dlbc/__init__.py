"""DLBC: training deep-learning models as the useful work of a public ledger."""

__version__ = "0.1.0"
