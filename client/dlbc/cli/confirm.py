"""Money is confirmed on a terminal; scripts and `--yes` have said so already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from dlbc.cli import render
from dlbc.cli.options import Settings
from dlbc.core.errors import Refused

if TYPE_CHECKING:
    from dlbc.core.events import Receipt
    from dlbc.roles.outcome import Outcome


def agree(settings: Settings, yes: bool) -> Callable[[str], None]:
    """Asks on a terminal, unless --yes or --json was given; says nothing elsewhere. Raises Refused for a no."""

    def ask(sentence: str) -> None:
        asks = not yes and sys.stdin.isatty() and not settings.json
        if asks and not click.confirm(render.printable(sentence), err=True):
            raise Refused("you did not agree, so nothing was sent; the same command asks again")

    return ask


def yes_option(function: Callable[..., object]) -> Callable[..., object]:
    """The option --yes of commands that spend."""
    return click.option("--yes", is_flag=True, help="Do not ask before the money leaves.")(function)


def sent_json(receipts: Iterable[Receipt]) -> list[dict[str, object]]:
    """The transactions of a command, for scripts."""
    return [{"call": receipt.call, "tx": receipt.tx_hash, "gasUsed": receipt.gas_used} for receipt in receipts]


def tell(settings: Settings, outcome: Outcome, **facts: object) -> None:
    """What a command did, for people or for scripts."""
    if settings.json:
        render.print_json(
            {**facts, "sent": sent_json(outcome.receipts), "wei": outcome.wei, "message": outcome.sentence}
        )
    else:
        render.paragraph(outcome.sentence)
