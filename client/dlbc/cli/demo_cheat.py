"""The villain of `dlbc demo --story dispute`: a real miner in every step but one, what it says its model predicts.

Started by the demo as `python -m dlbc.cli.demo_cheat`; it is no command of `dlbc`, and it plays only on a local network
that a demo made, so nobody runs it by accident and nobody can use it to cheat anybody.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, field, fields
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from dlbc.cli.demo_stage import MARKER
from dlbc.cli.options import Command, Settings
from dlbc.core.errors import DlbcError, Refused
from dlbc.core.events import TaskPosted
from dlbc.core.scoring import top1_scores
from dlbc.core.types import TaskId
from dlbc.roles.entry import MinerEntry
from dlbc.roles.entry_scoring import Leaves, Values
from dlbc.roles.miner import Miner, MinerOptions

if TYPE_CHECKING:
    from dlbc.config import Config

EXIT_INTERRUPTED = 130


def claim_everything(predictions: Values, labels: Values) -> tuple[Values, Values]:
    """Predictions that equal the labels. Nothing published contradicts anything: only the opened model does."""
    return labels.copy(), np.ones_like(labels)


def flip_one_bit(predictions: Values, labels: Values) -> tuple[Values, Values]:
    """One right prediction has its lowest bit flipped and is still counted as right."""
    scores = top1_scores(predictions, labels)
    published = predictions.copy()
    published[int(scores.argmax())] ^= 1
    return published, scores


LIES: dict[str, Leaves] = {"everything": claim_everything, "one-bit": flip_one_bit}


@dataclass
class LyingMiner(Miner):
    """A miner whose entries publish something else than their models' predictions."""

    lie: Leaves = field(kw_only=True)

    def _add(self, posted: TaskPosted, index: int, record: dict[str, Any]) -> MinerEntry:
        entry = super()._add(posted, index, record)
        entry.scoring.leaves = self.lie
        return entry


@click.command(cls=Command)
@click.option("--lie", type=click.Choice(list(LIES)), required=True)
@click.option("--task", type=click.IntRange(min=1), required=True)
@click.option("--epochs", type=click.IntRange(min=1), required=True)
@click.pass_obj
def command(settings: Settings, lie: str, task: int, epochs: int) -> None:
    """Mines TASK like `dlbc miner run --once`, trains for EPOCHS, and then claims what LIE says."""
    from dlbc import bootstrap
    from dlbc.roles.loop import run as run_loop
    from dlbc.roles.loop import said_once

    config = settings.config()
    report = said_once(bootstrap.event_log())
    options = MinerOptions(epochs=epochs, tasks=frozenset({TaskId(task)}), once=True)
    honest = bootstrap.miner(config, options, report)
    try:
        refuse_outside_of_a_demo(config, honest.chain.chain_id)
        miner = LyingMiner(**_values_of(honest), lie=LIES[lie])
        signal.signal(signal.SIGTERM, _interrupt)
        report("miner_started", account=miner.keys.address, market=miner.chain.market)
        try:
            run_loop(miner.tick, bootstrap.clock(), report=report, pause=bootstrap.pause(miner.chain))
        finally:
            miner.stop()
    finally:
        honest.journal.close()


def refuse_outside_of_a_demo(config: Config, chain_id: int) -> None:
    """Raises Refused unless this is the local network of a demo."""
    from dlbc import bootstrap

    if chain_id != bootstrap.LOCAL_CHAIN_ID or not (config.home.parent / MARKER).exists():
        raise Refused("this is the villain of `dlbc demo --story dispute`; it plays only on a network that demo made")


def main() -> int:
    """Its exit code. Errors are one line, as everywhere."""
    try:
        command.main(args=sys.argv[1:], standalone_mode=False, obj=Settings())
    except (DlbcError, click.ClickException) as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    return 0


def _values_of(instance: Any) -> dict[str, Any]:
    """Every field that can be given, private ones too: what makes a copy of another class."""
    return {one.name: getattr(instance, one.name) for one in fields(instance) if one.init}


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
