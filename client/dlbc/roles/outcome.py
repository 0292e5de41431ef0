"""What a command that spends or collects money did, in a form that people and scripts can read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dlbc.core.errors import NotYet, Refused
from dlbc.core.events import Receipt
from dlbc.core.types import Phase, Wei

NOTHING = Wei(0)
Agree = Callable[[str], None]
"""Called with a sentence right before money leaves the account; raises if it may not."""


def agreed(sentence: str) -> None:
    """An Agree that never objects."""


def not_now(phase: Phase, wanted: Phase, sentence: str) -> Refused:
    """The error for a call outside of its phase: NotYet if `wanted` is still to come in this round, else Refused.

    After a strike nominating leads back to an opening, so from there everything is still to come.
    """
    is_ahead = phase < wanted or (phase is Phase.NOMINATING and wanted >= Phase.OPENING)
    return NotYet(sentence) if is_ahead else Refused(sentence)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One sentence, and the transactions it took: none = it was done already, or there was nothing to do."""

    sentence: str
    receipts: tuple[Receipt, ...] = ()
    wei: Wei = NOTHING
    """What left the account, or what came home."""
