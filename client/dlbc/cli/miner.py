"""`dlbc miner`: train, commit, reveal, open and collect."""

from __future__ import annotations

import signal
from types import FrameType

import click

from dlbc.cli import render
from dlbc.cli.options import Group, Settings, typed_hash


@click.group(cls=Group)
def command() -> None:
    """Train, commit, reveal, open and collect."""


@command.command()
@click.option("--once", is_flag=True, help="Do one task to its end, then exit.")
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto", help="Where to train.")
@click.option("--epochs", type=click.IntRange(1, 100_000), help="Train this long instead of what the task says.")
@click.option("--task", "tasks", type=click.IntRange(min=1), multiple=True, help="Only this task (may be repeated).")
@click.option(
    "--parent", metavar="SHA256", help="Go on from this settled model, and declare it: its miner gets the royalty."
)
@click.pass_obj
def run(
    settings: Settings, once: bool, device: str, epochs: int | None, tasks: tuple[int, ...], parent: str | None
) -> None:
    """Pick the best-ranked task this machine can do, and carry every entry to its payout.

    Ends cleanly on Ctrl-C or SIGTERM; started again, it goes on where it was. Even without its home folder it finds
    its entries from the chain and its wallet.
    """
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.core.errors import TryLater
    from dlbc.core.types import ZERO_HASH, TaskId
    from dlbc.roles.loop import run as run_loop
    from dlbc.roles.loop import said_once
    from dlbc.roles.miner import MinerOptions

    only = frozenset(TaskId(number) for number in tasks) if tasks else None
    options = MinerOptions(
        devices=(device,),
        epochs=epochs,
        tasks=only,
        parent=typed_hash(parent, "--parent") if parent else ZERO_HASH,
        once=once,
        memory_bytes=bootstrap.memory_bytes(),
    )
    if parent:
        bootstrap.models(settings.config()).by_hash(options.parent)
    report = said_once(bootstrap.event_log())
    miner = bootstrap.miner(settings.config(), options, report, ask_on_terminal())
    signal.signal(signal.SIGTERM, _interrupt)
    report("miner_started", account=miner.keys.address, market=miner.chain.market, device=device)
    try:
        run_loop(miner.tick, bootstrap.clock(), report=report, pause=bootstrap.pause(miner.chain))
    finally:
        miner.stop()
        miner.journal.close()
    done = [entry for entry in miner.entries.values() if entry.is_done]
    if not done:
        if not miner.chain.ranked_tasks():
            raise TryLater("there is no task this miner can do now: none is in training (see `dlbc task list`)")
        raise TryLater("there is no task this miner can do now; the log says why each was passed over")
    if settings.json:
        render.print_json({"tasks": [{"taskId": entry.task_id, "gaveUp": entry.gave_up} for entry in done]})
    else:
        for entry in done:
            click.echo(f"Task {entry.task_id} is over{': ' + entry.gave_up if entry.gave_up else ''}.")


@command.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Show this miner's entries and its money."""
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.roles.status import miner_status

    config = settings.config()
    address = bootstrap.account_address(config, ask_on_terminal())
    chain, pool = bootstrap.chain_and_pool(config)
    rows = miner_status(chain, pool, address)
    credit, pool_credit, balance = chain.credit(address), pool.credit(address), chain.balance(address)
    if settings.json:
        told = {"account": address, "creditWei": credit, "poolCreditWei": pool_credit, "balanceWei": balance}
        render.print_json({**told, "entries": rows})
        return
    render.facts(
        f"Miner {address}",
        {
            "balance": render.ether(balance),
            "credit in the market": render.ether(credit),
            "credit in the pool": render.ether(pool_credit),
        },
    )
    if not rows:
        click.echo("  no entries yet")
        return
    render.table(
        "",
        ["task", "round", "phase", "entry", "deposit", "next"],
        [
            [row.task_id, row.round, row.phase, row.entry, "locked" if row.holds_deposit else "-", row.next]
            for row in rows
        ],
        right=["task", "round"],
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
