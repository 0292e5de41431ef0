"""`dlbc miner`: train, commit, reveal, open and collect."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from dlbc.cli import render
from dlbc.cli.daemon import daemon, metrics_option
from dlbc.cli.options import Group, Settings, typed_amount, typed_hash

if TYPE_CHECKING:
    from dlbc.roles.miner import Miner, MinerOptions


@click.group(cls=Group)
def command() -> None:
    """Train, commit, reveal, open and collect."""


@command.command()
@click.option("--once", is_flag=True, help="Do one task to its end, then exit.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="DEVICE",
    help="Where to train: cpu, cuda, cuda:1 …; may be repeated, for one training on each. cuda:0+cuda:1 is one "
    "training on both together, cpu+cpu one in two processes. auto (the default): every GPU for itself, else the "
    "processor.",
)
@click.option("--epochs", type=click.IntRange(1, 100_000), help="Train this long instead of what the task says.")
@click.option("--task", "tasks", type=click.IntRange(min=1), multiple=True, help="Only this task (may be repeated).")
@click.option(
    "--strategy",
    default="default",
    metavar="NAME",
    help="How to train: default, search, or a class of your own as module:Class.",
)
@click.option(
    "--parent", metavar="SHA256", help="Go on from this settled model, and declare it: its miner gets the royalty."
)
@click.option("--most-at-risk", metavar="AMOUNT", help='Deposits in the market at once, at most: "1 ether".')
@click.option("--no-live", is_flag=True, help="Event lines instead of the live view on a terminal.")
@metrics_option
@click.pass_obj
def run(
    settings: Settings,
    once: bool,
    devices: tuple[str, ...],
    epochs: int | None,
    tasks: tuple[int, ...],
    strategy: str,
    parent: str | None,
    most_at_risk: str | None,
    no_live: bool,
) -> None:
    """Train for the tasks that pay best here, and carry every entry to its payout.

    Ends cleanly on Ctrl-C (exit code 130) or SIGTERM (0); started again, it goes on where it was. Even without its home
    folder it finds its entries from the chain and its wallet. `dlbc miner status` shows what it does and why.
    """
    from dlbc import bootstrap
    from dlbc.core.devices import check_strategy_fits
    from dlbc.core.types import ZERO_HASH, TaskId
    from dlbc.roles.miner import MinerOptions

    bootstrap.check_strategy(strategy)
    named = typed_devices(devices)
    check_strategy_fits(strategy, named)
    chosen, warning = bootstrap.devices(named)
    options = MinerOptions(
        devices=chosen,
        epochs=epochs,
        tasks=frozenset(TaskId(number) for number in tasks) if tasks else None,
        strategy=strategy,
        parent=typed_hash(parent, "--parent") if parent else ZERO_HASH,
        once=once,
        memory_bytes=bootstrap.memory_bytes(),
        most_at_risk_wei=typed_amount((most_at_risk,), "--most-at-risk") if most_at_risk else None,
    )
    if parent:
        bootstrap.models(settings.config()).by_hash(options.parent)
    miner = _run(settings, options, warning, is_live=sys.stderr.isatty() and not (settings.json or no_live))
    _tell(settings, miner)


def typed_devices(devices: tuple[str, ...]) -> tuple[str, ...]:
    """() stands for auto. Raises Usage for an unknown device, or one that is named twice."""
    from dlbc.core.devices import check_devices

    check_devices(devices)
    return () if devices == ("auto",) else devices


def _run(settings: Settings, options: MinerOptions, warning: str, *, is_live: bool) -> Miner:
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.roles.loop import run as run_loop
    from dlbc.roles.loop import said_once

    config = settings.config()
    with daemon(settings, "miner") as watch, ExitStack() as ends:
        miner = bootstrap.miner(config, options, watch.report, ask_on_terminal())
        ends.callback(miner.journal.close)
        ends.callback(miner.stop)
        watch.miner(miner)
        watch.after_tick(bootstrap.quota(config, miner, watch.report))
        devices = " ".join(options.devices)
        watch.report("miner_started", account=miner.keys.address, market=miner.chain.market, devices=devices)
        if warning:
            watch.report("warning", why=warning)
        if is_live:
            from dlbc.cli.miner_live import LiveView, event_line

            view = LiveView(miner.keys.address)
            watch.logged = said_once(view.heard(event_line))
            miner.show_on(watch.report, view.publish)
            ends.enter_context(view)
        pause = bootstrap.pause(miner.chain)
        run_loop(
            watch.tick(miner.tick),
            bootstrap.clock(),
            report=watch.report,
            pause=lambda: max(pause, bootstrap.WAITING_PAUSE) if miner.is_waiting else pause,
        )
    return miner


def _tell(settings: Settings, miner: Miner) -> None:
    from dlbc.core.errors import TryLater

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
@click.option("--all", "everything", is_flag=True, help="All entries, not only the newest and those with a deposit.")
@click.pass_obj
def status(settings: Settings, everything: bool) -> None:
    """Show what this miner does and will do, and why; its entries; its money and when it comes back.

    The daemon need not run: entries and money are read from the chain.
    """
    from dlbc import bootstrap
    from dlbc.cli import miner_status as view
    from dlbc.cli.password import ask_on_terminal
    from dlbc.roles.miner_state import read_state
    from dlbc.roles.status import NEWEST, earnings, locked_deposits, miner_status

    config = settings.config()
    address = bootstrap.account_address(config, ask_on_terminal())
    chain, pool = bootstrap.chain_and_pool(config)
    folder = bootstrap.role_folder(config, "miner", address)
    with bootstrap.reading_journal(folder) as journal:
        rows = miner_status(chain, pool, address, None if everything else NEWEST)
        found = view.MinerStatus(
            account=address,
            is_running=bootstrap.is_at_work(folder),
            now=chain.now(),
            state=read_state(folder),
            balance_wei=chain.balance(address),
            credit_wei=chain.credit(address),
            pool_credit_wei=pool.credit(address),
            entries=rows,
            locks=locked_deposits(chain, rows, address),
            earnings=earnings(chain, journal, address),
        )
    if settings.json:
        render.print_json(view.as_json(found))
    else:
        view.show(found)
