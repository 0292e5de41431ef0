"""`dlbc demo`: the whole loop on this machine, from posting to payout."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from dlbc.cli import render
from dlbc.cli.options import Command, Settings
from dlbc.core.errors import Refused, Usage, VerificationFailed

if TYPE_CHECKING:
    from dlbc.cli.demo_run import Outcome
    from dlbc.cli.demo_stage import Stage


@click.command(cls=Command)
@click.option(
    "--story",
    type=click.Choice(["market", "dispute"]),
    default="market",
    help="What is played: two tasks without a quarrel, or what becomes of two false claims.",
)
@click.option("--dataset", type=click.Choice(["digits", "fashion-mnist"]), default="digits", help="What is learned.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("demo-out"), help="Folder for what it leaves.")
@click.option("--keep", is_flag=True, help="Keep the network's files too, for `dlbc devnet up --home OUTPUT/home`.")
@click.pass_obj
def command(settings: Settings, story: str, dataset: str, output: Path, keep: bool) -> None:
    """The whole loop as processes of their own on a local network: real chain, real IPFS, real training.

    The market: two tasks, a requester, three miners and an auditor; leaves OUTPUT/summary.json.

    The dispute (about two minutes): daemons alone. A claim that nothing but its model refutes is examined, disputed and
    voted down, and the runner-up wins; another is struck by one transaction; and every wei is explained. Leaves
    OUTPUT/dispute.json.

    Logs are in OUTPUT/logs. Stops everything it started.
    """
    from dlbc import bootstrap

    started = time.monotonic()
    if story == "dispute" and dataset != "digits":
        raise Usage("--story dispute is played with digits; leave out --dataset")
    if dataset == "fashion-mnist":
        bootstrap.FileData().load(dataset, Path(), 0)  # says which package is missing, before anything starts
    output = output.resolve()
    _prepare(output)
    signal.signal(signal.SIGTERM, _interrupt)
    if story == "dispute":
        _play_dispute(settings, output, started, keep)
    else:
        _play_market(settings, dataset, output, started, keep)


def _play_market(settings: Settings, dataset: str, output: Path, started: float, keep: bool) -> None:
    from dlbc.cli.demo_run import SCRIPTS, Demo

    with _stage(output, started, keep) as stage:
        outcome = Demo(stage, SCRIPTS[dataset], started).run()
    summary = outcome.summary()
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    if settings.json:
        render.print_json(summary)
    else:
        _show(outcome, output)
    if not outcome.is_as_promised:
        raise VerificationFailed(f"the demo did not come out as promised; see {output / 'summary.json'}")


def _play_dispute(settings: Settings, output: Path, started: float, keep: bool) -> None:
    from dlbc.cli.demo_dispute import DisputeDemo
    from dlbc.cli.demo_dispute_show import show_dispute

    with _stage(output, started, keep) as stage:
        outcome = DisputeDemo(stage, started).run()
    summary = outcome.summary()
    (output / "dispute.json").write_text(json.dumps(summary, indent=2) + "\n")
    if settings.json:
        render.print_json(summary)
    else:
        show_dispute(outcome, output / "dispute.json")
    broken = [promise for promise, is_kept in outcome.promises.items() if not is_kept]
    if broken:
        raise Refused(f"the demo did not come out as promised: {'; '.join(broken)} (see {output / 'dispute.json'})")


@contextmanager
def _stage(output: Path, started: float, keep: bool) -> Iterator[Stage]:
    """A local network and what plays on it; all of it ends with the block. Its files stay for `keep`, or a failure."""
    from dlbc import bootstrap
    from dlbc.cli.demo_stage import Stage
    from dlbc.cli.demo_view import make_view

    with ExitStack() as stack:
        view = stack.enter_context(make_view(started))
        view.stage("starting a local chain and an IPFS node")
        network = stack.enter_context(bootstrap.local_network(output / "home", fresh=True))
        yield Stage(network, *bootstrap.chain_and_pool(network.config()), output, view, stack)
    if not keep:
        shutil.rmtree(output / "home", ignore_errors=True)


def _prepare(output: Path) -> None:
    """An empty folder; removes only what an earlier demo left."""
    from dlbc.cli.demo_stage import MARKER

    if output.exists():
        if any(output.iterdir()) and not (output / MARKER).exists():
            raise Refused(f"{output} holds files that no demo wrote; name another folder with --output")
        if (output / "home").exists():
            from dlbc.adapters.devnet.network import down

            down(output / "home")
        shutil.rmtree(output)
    output.mkdir(parents=True)
    (output / MARKER).touch()


def _show(outcome: Outcome, output: Path) -> None:
    from dlbc.cli.audit import show_checks
    from dlbc.cli.demo_run import GAS_LIMITS
    from dlbc.core.report import Check

    show_checks(f"Audit of task {outcome.tasks[0]['taskId']}", tuple(Check(**check) for check in outcome.checks))
    render.table(
        "Tasks",
        ["task", "phase", "winner", "correct", "score", "difficulty", "audit"],
        [
            [
                row["taskId"],
                row["phase"],
                outcome.names.get(row["winner"], "-"),
                f"{row['total']}/{row['samples']}",
                render.ppm(row["scorePpm"]),
                render.difficulty(row["difficulty"]),
                row["audit"],
            ]
            for row in outcome.tasks
        ],
        right=["task", "correct", "score", "difficulty"],
    )
    render.table(
        "Money (without gas)",
        ["account", "paid in", "paid out", "gain"],
        [
            [name, render.ether(money.paid), render.ether(money.received), render.ether(money.received - money.paid)]
            for name, money in outcome.money.items()
        ],
        right=["paid in", "paid out", "gain"],
    )
    render.table(
        "Gas, the most one call used",
        ["call", "gas", "limit"],
        [[call, used, GAS_LIMITS.get(call, "-")] for call, used in outcome.gas.items()],
        right=["gas", "limit"],
    )
    render.facts(
        "Checks",
        {
            "ledger": f"{outcome.ledger_blocks} blocks, {'verified' if outcome.ledger_verified else 'BROKEN'}",
            "tampered model": (
                f"caught: {', '.join(outcome.tampered_checks)}" if outcome.tampered_checks else "NOT caught"
            ),
            "left in the market": render.ether(outcome.market_balance_wei),
            "seconds": f"{outcome.seconds:.1f}",
            "summary": output / "summary.json",
        },
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
