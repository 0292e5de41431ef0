"""`dlbc requester`: the requester that nobody tends, and where its tasks, its money and its models are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dlbc.cli import render
from dlbc.cli.daemon import daemon, metrics_option
from dlbc.cli.options import Group, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from dlbc.core.types import TaskId
    from dlbc.roles.requester_status import Asides, RequestStatus
    from dlbc.roles.requesting import RequesterDaemon

SHOWN_PROBLEMS = 10
EXIT_LATER = 3


@click.group(cls=Group)
def command() -> None:
    """Release test sets on time, fetch the models, take the money home."""


def notify_options(function: Any) -> Any:
    """Where notices go; each flag goes before the setting of the same name."""
    for flag, metavar, text in (
        ("--notify-command", "CMD", "Run CMD for every notice, without a shell; JSON comes on its standard input."),
        ("--notify-secret-file", "FILE", "Sign webhooks with the secret in FILE (X-DLBC-Signature)."),
        ("--notify-url", "URL", "POST every notice as JSON to URL."),
    ):
        name = flag[2:].replace("-", "_")
        function = click.option(flag, name, metavar=metavar, expose_value=False, callback=_remember, help=text)(
            function
        )
    return function


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None and parameter.name is not None:
        context.ensure_object(Settings).flags[parameter.name] = value


@command.command()
@click.option("--task", "tasks", type=click.IntRange(min=1), multiple=True, help="Only this task (may be repeated).")
@click.option("--models", metavar="DIR", help="Keep winning models here (else models_folder of dlbc.toml).")
@notify_options
@metrics_option
@click.pass_obj
def run(settings: Settings, tasks: tuple[int, ...], models: str | None) -> int | None:
    """Release the test set of every task of this account on time, until Ctrl-C or SIGTERM.

    Looks before whether it could, warns while there is time, keeps tasks moving, withdraws, stores the winning models
    and tells what happens. With --task it ends when these tasks are over and paid: exit code 3 if a model is missing.
    """
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.core.types import TaskId
    from dlbc.roles.loop import run as run_loop

    if models is not None:
        settings.flags["models_folder"] = models
    only = frozenset(TaskId(number) for number in tasks) if tasks else None
    with daemon(settings, "requester") as watch:
        requester = bootstrap.requester_daemon(settings.config(), only, watch.report, ask_on_terminal())
        try:
            _check_folder(requester.store.folder)
            for task_id in sorted(only or ()):
                _check_owner(requester, task_id)
            channels = " ".join(channel.name for channel in requester.outbox.channels)
            watch.report(
                "requester_started",
                account=requester.requester.keys.address,
                market=requester.chain.market,
                models=str(requester.store.folder),
                notices=channels or None,
            )
            if watch.meter is not None:
                meter = watch.meter
                watch.after_tick(lambda: meter.show_entries(requester.by_phase, requester.locked_wei))
            pause = bootstrap.pause(requester.chain)
            run_loop(watch.tick(requester.tick), bootstrap.clock(), report=watch.report, pause=pause)
            ends = [_end_of(requester, task_id) for task_id in sorted(only or ())]
            waiting = requester.outbox.waiting
        finally:
            requester.close()
            requester.journal.close()
    return _tell_end(settings, ends, waiting)


def _check_folder(folder: Path) -> None:
    """Raises Refused now, rather than when the first model has been paid for."""
    from dlbc.core.errors import Refused

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(
            f"no models can be kept in {folder} ({error.strerror}); name another folder with --models"
        ) from None


def _check_owner(requester: RequesterDaemon, task_id: TaskId) -> None:
    from dlbc.core.errors import Refused

    owner, me = requester.chain.task(task_id).requester, requester.requester.keys.address
    if owner != me:
        raise Refused(f"task {task_id} was posted by {owner}, not by {me}; `dlbc requester status` lists your own")


def _end_of(requester: RequesterDaemon, task_id: TaskId) -> dict[str, Any]:
    followed = requester.followed[task_id]
    stored = [requester.store.known(followed.model_key(index)) for index in sorted(followed.models)]
    return {
        "taskId": task_id,
        "phase": requester.chain.phase(task_id).phase.label,
        "models": [None if found is None else {"path": found.path, "sha256": found.sha256} for found in stored],
    }


def _tell_end(settings: Settings, ends: list[dict[str, Any]], waiting: int) -> int | None:
    if settings.json:
        render.print_json({"tasks": ends, "noticesWaiting": waiting})
    else:
        for end in ends:
            click.echo(f"Task {end['taskId']} is {end['phase']}.")
            for model in end["models"]:
                click.echo(f"  its model is {model['path']}" if model else "  its model could not be fetched yet")
        if waiting:
            click.echo(f"{waiting} notices did not arrive yet; the next run sends them.")
    return EXIT_LATER if any(None in end["models"] for end in ends) else None


@command.command()
@notify_options
@click.pass_obj
def notify(settings: Settings) -> None:
    """Send a test notice on every way that is set up, and say whether it arrived. Needs no account and no chain."""
    import json
    import time

    from dlbc import bootstrap
    from dlbc.core.errors import TryLater, Usage

    channels = bootstrap.channels(settings.config())
    if not channels:
        raise Usage("no way to tell anybody is set up: pass --notify-url or --notify-command, or set them in dlbc.toml")
    now = int(time.time())
    named, message = f"test-{now}", "A test notice of `dlbc requester notify`."
    document = json.dumps({"id": named, "kind": "test", "message": message, "at": now}, sort_keys=True).encode()
    names, failed = [], []
    for channel in channels:
        try:
            channel.send(named, "test", document)
        except TryLater as error:
            failed.append(str(error))
        else:
            names.append(channel.name)
    if failed:
        raise TryLater("; ".join([*failed, *(f"it arrived by {name}" for name in names)]))
    if settings.json:
        render.print_json({"arrived": names, "id": named})
    else:
        click.echo(f"It arrived: {', '.join(names)}.")


@command.command()
@click.option("--all", "everything", is_flag=True, help="All tasks, not only open ones and the newest.")
@click.pass_obj
def status(settings: Settings, everything: bool) -> None:
    """Show this account's tasks: phase, its own next step, money locked and when it comes back, the model.

    The daemon need not run: tasks and money are read from the chain.
    """
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.roles.requester_status import NEWEST, asides, requester_status

    config = settings.config()
    address = bootstrap.account_address(config, ask_on_terminal())
    chain, pool = bootstrap.chain_and_pool(config)
    folder = bootstrap.requester_folder(config, address)
    with bootstrap.reading_journal(folder) as journal:
        rows = requester_status(chain, pool, address, journal, None if everything else NEWEST)
        aside = asides(chain, pool, address, journal)
    now, is_running = chain.now(), bootstrap.is_at_work(folder)
    if settings.json:
        told = {"account": address, "isRunning": is_running, "at": now, "noticesWaiting": aside.unsent}
        money = {"balanceWei": aside.balance_wei, "creditWei": aside.credit_wei, "poolCreditWei": aside.pool_credit_wei}
        render.print_json({**told, **money, "lockedWei": sum(row.locked_wei for row in rows), "tasks": rows})
    else:
        _show(address, rows, aside, now, is_running=is_running)


def _show(address: str, rows: list[RequestStatus], aside: Asides, now: int, *, is_running: bool) -> None:
    render.facts(
        f"Requester {address}",
        {
            "daemon": "runs" if is_running else "does not run: `dlbc requester run`",
            "balance": render.ether(aside.balance_wei),
            "to withdraw": render.ether(aside.credit_wei + aside.pool_credit_wei),
            "locked in tasks": render.ether(sum(row.locked_wei for row in rows)),
            "notices to send": aside.unsent,
        },
    )
    if not rows:
        click.echo("  no tasks yet: `dlbc task init`, then `dlbc task post`")
        return
    render.table(
        "Tasks",
        ["task", "phase", "ends in", "next", "locked", "back in", "model"],
        [
            [
                row.task_id,
                f"{row.phase}{' (due)' if row.is_due else ''}",
                _in(row.ends_at, now),
                f"{row.next} in {_in(row.next_at, now)}" if row.next_at > now else row.next,
                render.ether_about(row.locked_wei) if row.locked_wei else "-",
                "by cancel" if row.freed_by.startswith("cancel") else _in(row.free_at or 0, now),
                row.model,
            ]
            for row in rows
        ],
        right=["task"],
    )
    for row in rows[:SHOWN_PROBLEMS]:
        for why in row.problems.values():
            render.paragraph(f"Task {row.task_id}: {why}.")


def _in(time: int, now: int) -> str:
    if not time:
        return "-"
    return render.duration(time - now) if time > now else "now"
