"""`dlbc task`: write, post, list, show, watch, release and cancel training tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlbc.cli import render
from dlbc.cli.confirm import agree, yes_option
from dlbc.cli.daemon import daemon, metrics_option
from dlbc.cli.options import Group, Settings
from dlbc.cli.task_standing import show_standing, standing_json
from dlbc.core.architecture import CLASSIFIERS
from dlbc.core.errors import BadInput, NotFound, Refused

if TYPE_CHECKING:
    from dlbc.core.types import TaskId
    from dlbc.roles.drafts import Draft
    from dlbc.roles.keeper import Keeper
    from dlbc.roles.requester import Quote, Requester

SHOWN_TASKS = 50
"""Rows of a table for people; drawing thousands takes seconds."""


@click.group(cls=Group)
def command() -> None:
    """Post a training task, release its test set, watch it."""


@command.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("TASK.toml"))
@click.option("--dataset", default="digits", metavar="NAME", help="digits, fashion-mnist or an .npz file.")
@click.option("--family", type=click.Choice(CLASSIFIERS), default="mlp", help="Model family.")
@click.pass_obj
def init(settings: Settings, path: Path, dataset: str, family: str) -> None:
    """Write a commented task file to PATH."""
    from dlbc.core.task_template import task_template

    text = task_template(str(path), _source(dataset, path.parent), family)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise Refused(f"{path} exists already; nothing was written. Name another file") from error
    except OSError as error:
        raise Refused(f"{path} can't be written: {error.strerror}") from error
    if settings.json:
        render.print_json({"path": str(path)})
    else:
        click.echo(f"Wrote {path}. Read it through, then: dlbc --account NAME task post {path}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("TASK.toml"))
@yes_option
@click.option("--again", is_flag=True, help="Post once more what was posted already.")
@click.pass_obj
def post(settings: Settings, file: Path, yes: bool, again: bool) -> None:
    """Pack the data, seal the test set, store both, and post the task of FILE."""
    from dlbc.core.task_file import parse_task_file

    task = parse_task_file(_read(file))
    requester = _requester(settings)
    draft = requester.prepare(task, file.parent)
    if draft.task_id is not None and again:
        requester.forget(draft)
        draft = requester.prepare(task, file.parent)
    if draft.task_id is not None:
        _tell_posted(settings, requester, draft.task_id, draft, None)
        return
    quote = requester.quote(draft)
    if not settings.json:
        _show_quote(task.name, draft, quote)
    agree(settings, yes)(f"Send {render.ether(quote.value_wei)}?")
    task_id, receipt = requester.post(draft)
    _tell_posted(settings, requester, task_id, draft, receipt, quote.warning)


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also tasks that are over.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Show the first N only; a table shows {SHOWN_TASKS} unless told otherwise, --json all.",
)
@click.pass_obj
def list_tasks(settings: Settings, everything: bool, limit: int | None) -> None:
    """List tasks: first those in training, best rank first, then the others, newest first."""
    from dlbc import bootstrap
    from dlbc.roles.listing import listed_tasks

    chain = bootstrap.chain(settings.config())
    now = chain.now()
    if limit is None and not settings.json:
        limit = SHOWN_TASKS
    listed, total = listed_tasks(chain, everything=everything, limit=limit)
    rows: list[dict[str, Any]] = [
        {
            "taskId": row.task_id,
            "place": row.place,
            "rank": row.rank,
            "phase": row.phase.label,
            "due": row.due,
            "endsAt": row.ends_at,
            "secondsLeft": max(0, row.ends_at - now) if row.ends_at else 0,
            "bountyWei": row.bounty_wei,
            "difficulty": row.difficulty,
            "commits": row.commits,
        }
        for row in listed
    ]
    if settings.json:
        render.print_json({"tasks": rows, "total": total})
        return
    if not rows:
        click.echo("There is no open task." if not everything else "No task was ever posted.")
        return
    render.table(
        "",
        ["rank", "task", "phase", "time left", "bounty", "difficulty", "commits"],
        [
            [
                row["place"] or "-",
                row["taskId"],
                f"{row['phase']}{' (due)' if row['due'] else ''}",
                render.duration(row["secondsLeft"]) if row["endsAt"] else "-",
                render.ether(row["bountyWei"]),
                render.difficulty(row["difficulty"]),
                row["commits"],
            ]
            for row in rows
        ],
        right=["rank", "task", "difficulty", "commits"],
    )
    if len(rows) < total:
        click.echo(f"  and {total - len(rows)} more; `--limit {total}` shows all")


@command.command()
@click.argument("task_id", metavar="TASK", type=click.IntRange(min=1))
@click.pass_obj
def show(settings: Settings, task_id: int) -> None:
    """Show phase, leader, money and locks of a task, and who can do what next."""
    from dlbc import bootstrap
    from dlbc.core.phases import what_next
    from dlbc.core.types import TaskId
    from dlbc.roles.keeper import read_facts
    from dlbc.roles.standing import task_standing

    config = settings.config()
    chain, pool = bootstrap.chain_and_pool(config)
    task = TaskId(task_id)
    facts, posted, standing = read_facts(chain, task), chain.task_posted(task), task_standing(chain, pool, task)
    following = what_next(facts.phase, facts.task, facts.round, facts.now, facts.finality_gap)
    people = {facts.task.requester, *(event.miner for event in chain.commits(task, facts.task.round))}
    people |= {filing.filer for case in standing.cases for filing in case.view.filings}
    locks = [(who, lock) for who in sorted(people) for lock in chain.locks(task, who)] if config.lens else []
    if settings.json:
        render.print_json(
            {
                "taskId": task_id,
                "phase": facts.phase.phase.label,
                "due": facts.phase.due,
                "endsAt": facts.phase.ends_at,
                "outcome": facts.task.outcome.name.lower() if facts.task.outcome else None,
                "next": following,
                "task": facts.task,
                "round": facts.round,
                "terms": posted.terms,
                "locks": [{"account": who, **_lock(lock)} for who, lock in locks],
                "options": standing.options,
                "warning": standing.warning,
                **standing_json(standing),
            }
        )
        return
    render.facts(
        f"Task {task_id}: {facts.phase.phase.label}{' (due)' if facts.phase.due else ''}",
        {
            "ends": f"{render.moment(facts.phase.ends_at)} UTC" if facts.phase.ends_at else "-",
            "requester": facts.task.requester,
            "round": f"{facts.task.round + 1} of {facts.task.rounds}",
            "bounty": render.ether(facts.task.bounty_wei),
            "deposit": render.ether(facts.task.deposit_wei),
            "bond": render.ether(facts.task.bond_wei),
            "difficulty": render.difficulty(facts.task.difficulty),
            "minimum score": render.ppm(facts.task.min_score_ppm),
            "commits": facts.round.commits,
            "reveals": facts.round.reveals,
            "leader": f"{render.short(facts.round.leader)} with {facts.round.leader_total} of {facts.round.samples}",
            "manifest": render.cid(posted.terms.manifest),
        },
    )
    render.paragraph(following)
    for option in standing.options:
        render.paragraph(option)
    if standing.warning:
        render.paragraph(f"Warning: {standing.warning}.")
    show_standing(standing, facts.now)
    for who, lock in locks:
        kind = lock.kind.name.lower().replace("_", " ")
        since = f" from {render.moment(lock.free_at)} UTC" if lock.free_at > facts.now else ""
        render.paragraph(
            f"Locked: {render.ether(lock.amount_wei)} of {render.short(who)} ({kind}), freed{since} by {lock.freed_by}."
        )
    if locks:
        render.paragraph(
            "`dlbc miner run`, `dlbc requester run` (or `dlbc task watch --release`) and `dlbc auditor collect` send "
            "these calls; reclaim, advance and collectBond may be sent by anyone."
        )


@command.command()
@click.argument("tasks", metavar="TASK...", type=click.IntRange(min=1), nargs=-1, required=True)
@click.option("--release", "may_release", is_flag=True, help="Release the test set on time, and collect at the end.")
@metrics_option
@click.pass_obj
def watch(settings: Settings, tasks: tuple[int, ...], may_release: bool) -> None:
    """Follow tasks until they are over. With an account, advances them when time has made it due."""
    from dlbc import bootstrap
    from dlbc.core.decide import Do
    from dlbc.core.phases import meaning
    from dlbc.core.types import TaskId
    from dlbc.roles.loop import attend, run

    with daemon(settings, "requester" if may_release else "keeper") as watched:
        report = watched.report
        watcher: Requester | Keeper
        watcher = _requester(settings, report) if may_release else bootstrap.keeper(settings.config(), report)
        chain = watcher.chain
        for number in tasks:
            chain.task(TaskId(number))
        open_tasks = [TaskId(number) for number in tasks]
        tick = watched.tick(lambda: attend(open_tasks, lambda each: watcher.step(each).do is Do.FINISH, report))
        run(tick, bootstrap.clock(), report=report, pause=bootstrap.pause(chain))
    ends = {number: chain.phase(TaskId(number)).phase for number in tasks}
    if settings.json:
        render.print_json({"tasks": [{"taskId": number, "phase": phase.label} for number, phase in ends.items()]})
    else:
        for number, phase in ends.items():
            click.echo(f"Task {number} is {phase.label}. {meaning(phase)}")


@command.command()
@click.argument("task_id", metavar="TASK", type=click.IntRange(min=1))
@click.pass_obj
def release(settings: Settings, task_id: int) -> None:
    """Release the test set now."""
    from dlbc.core.types import TaskId

    receipt = _requester(settings).release(TaskId(task_id))
    _tell(settings, {"taskId": task_id, "released": True, "tx": receipt.tx_hash}, f"Released task {task_id}.")


@command.command()
@click.argument("task_id", metavar="TASK", type=click.IntRange(min=1))
@click.pass_obj
def cancel(settings: Settings, task_id: int) -> None:
    """Take a task back before its first commit; the money comes back at once."""
    from dlbc.core.types import TaskId

    receipts = _requester(settings).cancel(TaskId(task_id))
    told = {"taskId": task_id, "cancelled": True, "tx": [receipt.tx_hash.hex() for receipt in receipts]}
    _tell(settings, told, f"Cancelled task {task_id}; the bounty and the bond are back on your account.")


def _requester(settings: Settings, report: Any = None) -> Requester:
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal

    return bootstrap.requester(settings.config(), report or bootstrap.event_log(), ask_on_terminal())


def _source(dataset: str, folder: Path) -> str:
    """A built-in name as it is; a data file as its path from the task file's folder. Raises BadInput, NotFound."""
    from dlbc.core.task_file import BUILT_IN

    if dataset in BUILT_IN:
        return dataset
    if not dataset.endswith(".npz"):
        raise BadInput(f"--dataset: expected {', '.join(BUILT_IN)} or an .npz file, found {dataset[:200]!r}")
    file = Path(dataset)
    if not file.is_file():
        raise NotFound(f"--dataset: {file} does not exist; nothing was written")
    return str(file) if file.is_absolute() else os.path.relpath(file, folder)


def _read(file: Path) -> bytes:
    from dlbc.core.task_file import MAX_BYTES

    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound(f"{file} does not exist; write one with `dlbc task init {file}`") from error
    except OSError as error:
        raise BadInput(f"{file} can't be read: {error.strerror}") from error


def _show_quote(name: str, draft: Draft, quote: Quote) -> None:
    terms = draft.terms
    render.facts(
        f"Task {name!r}",
        {
            "training samples": quote.samples,
            "sealed test samples": quote.test_samples,
            "parameters": quote.parameters,
            "stored": render.size(quote.stored_bytes),
            "difficulty": render.difficulty(quote.difficulty),
            "bounty": f"{render.ether(quote.bounty_wei)} (of which {render.ether(quote.fee_wei)} fee)",
            "bond": f"{render.ether(quote.bond_wei)}, comes back when the task ends well",
            "sent now": f"{render.ether(quote.value_wei)} and gas for about 330000 units",
            "balance": render.ether(quote.balance_wei),
            "training lasts": render.duration(terms.train_seconds),
            "you must release": f"within {render.duration(terms.release_seconds)} after that, or lose the bond",
        },
    )
    if quote.warning:
        render.paragraph(f"Warning: {quote.warning}.")


def _tell_posted(
    settings: Settings, requester: Requester, task_id: TaskId, draft: Draft, receipt: Any, warning: str = ""
) -> None:
    told = {
        "warning": warning,
        "taskId": task_id,
        "termsHash": draft.terms_hash,
        "tx": receipt.tx_hash if receipt else None,
        "gasUsed": receipt.gas_used if receipt else None,
    }
    if settings.json:
        render.print_json(told)
    elif receipt is None:
        click.echo(f"This file was posted already, as task {task_id}. Add --again to post it once more.")
    else:
        click.echo(f"Posted task {task_id}.")
        _show_duty(settings, requester, task_id)


def _show_duty(settings: Settings, requester: Requester, task_id: TaskId) -> None:
    """What has to run until the task is over, unless it does already."""
    from dlbc import bootstrap

    config = settings.config()
    if bootstrap.is_at_work(bootstrap.requester_folder(config, requester.keys.address)):
        click.echo("Your `dlbc requester run` releases its test set on time.")
        return
    dlbc = f"dlbc --account {config.account}" if config.account else "dlbc"
    render.paragraph(
        "Leave this running: it releases the test sets of all your tasks on time, warns before a bond is at risk, and "
        "stores the models."
    )
    click.echo(f"  {dlbc} requester run")
    click.echo("Or, for this task alone and without its model:")
    click.echo(f"  {dlbc} task watch {task_id} --release")


def _tell(settings: Settings, value: object, line: str) -> None:
    if settings.json:
        render.print_json(value)
    else:
        click.echo(line)


def _lock(lock: Any) -> dict[str, object]:
    return {
        "kind": lock.kind.name.title().replace("_", ""),
        "round": lock.round,
        "amountWei": lock.amount_wei,
        "freeAt": lock.free_at,
        "freedBy": lock.freed_by,
    }
