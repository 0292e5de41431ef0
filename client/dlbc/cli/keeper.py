"""`dlbc keeper`: keeps every task moving, and sends reveals for miners that can't."""

from __future__ import annotations

import click

from dlbc.cli import render
from dlbc.cli.daemon import daemon, metrics_option
from dlbc.cli.options import Group, Settings


@click.group(cls=Group)
def command() -> None:
    """Advance tasks whose time is up, and relay signed reveals."""


@command.command()
@click.option("--task", "tasks", type=click.IntRange(min=1), multiple=True, help="Only this task (may be repeated).")
@click.option("--relay", metavar="DIR", help="Send the signed reveals in this folder (else relay_folder of dlbc.toml).")
@metrics_option
@click.pass_obj
def run(settings: Settings, tasks: tuple[int, ...], relay: str | None) -> None:
    """Advance every task of the market as soon as its time is up, until Ctrl-C or SIGTERM.

    Pays gas and collects nothing. With --task it ends when these tasks are over. What it knows is on the chain.
    """
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.core.types import TaskId
    from dlbc.roles.loop import run as run_loop

    if relay is not None:
        settings.flags["relay_folder"] = relay
    only = frozenset(TaskId(number) for number in tasks) if tasks else None
    with daemon(settings, "keeper") as watch:
        keeper = bootstrap.market_keeper(settings.config(), only, watch.report, ask_on_terminal())
        for task_id in sorted(only or ()):
            keeper.chain.task(task_id)
        folder = str(keeper.relay.folder) if keeper.relay is not None else None
        watch.report("keeper_started", account=keeper.chain.account, market=keeper.chain.market, relay=folder)
        pause = bootstrap.pause(keeper.chain)
        run_loop(watch.tick(keeper.tick), bootstrap.clock(), report=watch.report, pause=pause)
    ends = {task_id: keeper.chain.phase(task_id).phase.label for task_id in sorted(only or ())}
    if settings.json:
        render.print_json({"tasks": [{"taskId": task_id, "phase": phase} for task_id, phase in ends.items()]})
    else:
        for task_id, phase in ends.items():
            click.echo(f"Task {task_id} is {phase}.")
