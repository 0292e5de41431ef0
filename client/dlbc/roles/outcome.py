"""What a command that spends or collects money did, in a form that people and scripts can read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dlbc.core.types import Receipt, Wei

NOTHING = Wei(0)
Agree = Callable[[str], None]
"""Called with a sentence right before money leaves the account; raises if it may not."""


def agreed(sentence: str) -> None:
    """An Agree that never objects."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One sentence, and the transactions it took: none = it was done already, or there was nothing to do."""

    sentence: str
    receipts: tuple[Receipt, ...] = ()
    wei: Wei = NOTHING
    """What left the account, or what came home."""
