"""How a model is trained: built-in strategies, and the names that a miner's own one needs.

`dlbc miner run --strategy my_code:MyStrategy` trains with a class of the operator's; docs/operators.md has an example.
"""

from dlbc.adapters.ml.strategies.default import Default
from dlbc.adapters.ml.strategies.loading import find_strategy
from dlbc.adapters.ml.strategies.search import Search
from dlbc.adapters.ml.task import Recipe, Strategy, Trained, TrainingTask

__all__ = ["Default", "Recipe", "Search", "Strategy", "Trained", "TrainingTask", "find_strategy"]
