"""`dlbc auditor run`, the auditor that nobody tends, and `dlbc auditor examine`, what it runs for every claim."""

from __future__ import annotations

from errno import EFBIG

import click

from dlbc.cli import render
from dlbc.cli.daemon import daemon, metrics_option
from dlbc.cli.options import Command, Settings, typed_amount


@click.command(cls=Command)
@click.option("--task", "tasks", type=click.IntRange(min=1), multiple=True, help="Only this task (may be repeated).")
@click.option("--most-at-risk", metavar="AMOUNT", help='Bonds and locked stake at once, at most: "1 ether".')
@click.option("--no-dispute", is_flag=True, help="Pay no bonds: neither disputes nor impeachments nor demands.")
@click.option("--no-vote", is_flag=True, help="Cast no ballots.")
@click.option(
    "--most-minutes",
    type=click.IntRange(1, 7 * 24 * 60),
    default=60,
    show_default=True,
    help="For one examination; it is ended then.",
)
@click.option(
    "--most-memory-gb",
    type=click.IntRange(1, 4096),
    default=8,
    show_default=True,
    help="For one examination, in 10^9 bytes; its scoring process may have as much again.",
)
@metrics_option
@click.pass_obj
def run(
    settings: Settings,
    tasks: tuple[int, ...],
    most_at_risk: str | None,
    no_dispute: bool,
    no_vote: bool,
    most_minutes: int,
    most_memory_gb: int,
) -> None:
    """Examine every claim while it can be disputed; refute, dispute, vote and collect. Until Ctrl-C or SIGTERM.

    Disputes only what its own examination failed, and votes only what it found out itself. Stake first to vote
    (`dlbc auditor stake`); disputes need only the bond. With --task it ends when these tasks are over and paid.
    """
    from dlbc import bootstrap
    from dlbc.adapters.examinations import ChildLimits
    from dlbc.cli.password import ask_on_terminal
    from dlbc.core.types import TaskId
    from dlbc.roles.auditing import Limits
    from dlbc.roles.loop import run as run_loop

    only = frozenset(TaskId(number) for number in tasks) if tasks else None
    limits = Limits(
        may_dispute=not no_dispute,
        may_vote=not no_vote,
        most_at_risk_wei=typed_amount((most_at_risk,)) if most_at_risk else None,
    )
    child = ChildLimits(seconds=60.0 * most_minutes, memory_bytes=most_memory_gb * 10**9)
    with daemon(settings, "auditor") as watch:
        auditor = bootstrap.auditor_daemon(settings.config(), only, limits, child, watch.report, ask_on_terminal())
        try:
            for task_id in sorted(only or ()):
                auditor.chain.task(task_id)
            watch.report("auditor_started", account=auditor.voter.keys.address, market=auditor.chain.market)
            pause = bootstrap.pause(auditor.chain)
            run_loop(watch.tick(auditor.tick), bootstrap.clock(), report=watch.report, pause=pause)
        finally:
            auditor.close()
            auditor.voter.journal.close()
    if settings.json:
        ends = {task_id: auditor.chain.phase(task_id).phase.label for task_id in sorted(only or ())}
        render.print_json({"tasks": [{"taskId": task_id, "phase": phase} for task_id, phase in ends.items()]})


@click.command(cls=Command)
@click.argument("task_id", metavar="TASK", type=click.IntRange(min=1))
@click.option("--test-set", is_flag=True, help="The released test set, not the opened claim.")
@click.option("--most-memory", type=click.IntRange(min=1), metavar="BYTES", help="End rather than take more.")
@click.option("--largest-file", type=click.IntRange(min=1), metavar="BYTES", help="End rather than write more.")
@click.option("--most-seconds", type=click.IntRange(min=1), metavar="N", help="Say what was found until then.")
@click.pass_obj
def examine(
    settings: Settings,
    task_id: int,
    test_set: bool,
    most_memory: int | None,
    largest_file: int | None,
    most_seconds: int | None,
) -> None:
    """Find out what a ballot about TASK should say: the audit, and what its claims say of themselves. Sends nothing.

    Needs no account. Exit code 0 whatever the verdict is.
    """
    from dlbc import bootstrap
    from dlbc.adapters.confinement import give_way, limit_self
    from dlbc.core.errors import LimitReached
    from dlbc.core.examination import examination_to_json
    from dlbc.core.types import TaskId

    if most_memory is not None or largest_file is not None:
        limit_self(most_memory, largest_file)
        give_way()
    try:
        examiner = bootstrap.examiner(settings.config(), most_memory, most_seconds)
        found = examiner.examine(TaskId(task_id), test_set=test_set)
    except MemoryError as error:
        raise LimitReached("the examination needs more memory than it may have") from error
    except OSError as error:
        if error.errno != EFBIG:
            raise
        raise LimitReached("the examination needs a larger file than it may write") from error
    if settings.json:
        render.print_json(examination_to_json(found))
        return
    from dlbc.cli.audit import show_checks

    subject = found.subject
    about = "test set" if subject.is_test_set else f"claim of {render.short(subject.account)}"
    show_checks(f"Task {subject.task_id}, round {subject.round}: {about}", found.checks)
    for check in found.failed:
        click.echo(f"✗ {check.name}: expected {render.printable(check.expected)}")
        click.echo(f"  found {render.printable(check.found)}")
    for miner in found.refuted:
        render.paragraph(f"The claim of {miner} proves itself false: dlbc audit {task_id} --refute")
    if found.withheld is not None:
        render.paragraph(f"Predictions are withheld: dlbc auditor demand {task_id} --sample {found.withheld}")
    told = {"none": "none: nothing that a vote decides could be found out"}
    verdict = found.verdict.name.lower()
    click.echo(f"Verdict: {told.get(verdict, verdict)}.")
