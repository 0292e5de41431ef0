"""`dlbc auditor dispute | impeach | evidence | vote | collect | demand`: what is done about one task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlbc.cli import render
from dlbc.cli.confirm import agree, sent_json, tell, yes_option
from dlbc.cli.options import Command, Settings

if TYPE_CHECKING:
    from dlbc.roles.voting import Voter, VoteStep

GROUNDS = ("score", "hash", "unavailable", "architecture", "no-watermark", "copied", "samples")
_TASK = click.argument("task_id", metavar="TASK", type=click.IntRange(min=1))
_SAMPLE = click.IntRange(min=0)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command)
@_TASK
@click.option("--ground", "grounds", type=click.Choice(GROUNDS), multiple=True, help="Beside what the audit finds.")
@click.option("--sample", "samples", type=_SAMPLE, multiple=True, help="A prediction the model contradicts (1 to 8).")
@click.option("--evidence", type=_FILE, help="A file that goes with the evidence.")
@yes_option
@click.pass_obj
def dispute(
    settings: Settings,
    task_id: int,
    grounds: tuple[str, ...],
    samples: tuple[int, ...],
    evidence: Path | None,
    yes: bool,
) -> None:
    """Audit the opened claim of TASK and dispute it on what the audit finds.

    Takes a bond, a tenth of the bounty. It comes back, with a share of the miner's deposit, if the claim falls.
    """
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.core.types import Ground, TaskId
    from dlbc.roles.disputing import parse_ground

    named = Ground(0)
    for name in grounds:
        named |= parse_ground(name)
    with render.ProgressLines() as progress:
        disputer = bootstrap.disputer(
            settings.config(), bootstrap.event_log(), agree(settings, yes), ask_on_terminal(), progress
        )
        outcome = disputer.dispute(TaskId(task_id), named, samples, evidence)
    tell(settings, outcome, taskId=task_id)


@click.command(cls=Command)
@_TASK
@click.option("--evidence", type=_FILE, help="A file that goes with the evidence.")
@click.option("--force", is_flag=True, help="Even if this client finds nothing wrong with the test set.")
@yes_option
@click.pass_obj
def impeach(settings: Settings, task_id: int, evidence: Path | None, force: bool, yes: bool) -> None:
    """Check the released test set of TASK and impeach it if it is not the promised one.

    Takes a bond, a tenth of the bounty, which comes back unless more than half of the stake
    that votes finds the test set right.
    """
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.core.types import TaskId

    with render.ProgressLines() as progress:
        disputer = bootstrap.disputer(
            settings.config(), bootstrap.event_log(), agree(settings, yes), ask_on_terminal(), progress
        )
        outcome = disputer.impeach(TaskId(task_id), evidence, although_right=force)
    tell(settings, outcome, taskId=task_id)


@click.command(cls=Command)
@_TASK
@click.pass_obj
def evidence(settings: Settings, task_id: int) -> None:
    """Show what was filed against the claim or the test set of TASK. Believe none of it: run `dlbc audit`."""
    from dlbc import bootstrap
    from dlbc.core.errors import DlbcError, StorageUnreachable
    from dlbc.core.types import TaskId
    from dlbc.roles.evidence import fetch_evidence, ground_names

    config = settings.config()
    chain, pool = bootstrap.chain_and_pool(config)
    chain.task(TaskId(task_id))
    storage = bootstrap.storage(config)
    rows: list[dict[str, Any]] = []
    for filing in pool.filings(TaskId(task_id)):
        row: dict[str, Any] = {
            "filer": filing.filer,
            "subject": filing.subject,
            "grounds": ground_names(filing.grounds),
            "samples": list(filing.samples),
            "evidence": render.cid(filing.evidence),
            "checks": [],
            "reproduce": "",
            "attachments": [],
            "problem": "",
        }
        try:
            found = fetch_evidence(storage, filing, chain.chain_id, chain.market)
            attachments = [
                {"cid": render.cid(each.locator), "bytes": each.size_bytes, "sha256": each.sha256.hex()}
                for each in found.attachments
            ]
            row |= {"checks": [check for check in found.checks if not check.ok], "reproduce": found.reproduce}
            row["attachments"] = attachments
        except StorageUnreachable:
            raise
        except DlbcError as error:
            row["problem"] = str(error)
        rows.append(row)
    if settings.json:
        render.print_json({"taskId": task_id, "filings": rows})
        return
    if not rows:
        click.echo(f"Nothing was filed in task {task_id}.")
    for row in rows:
        render.facts(
            f"Filed by {row['filer']}",
            {
                "against": "the test set" if not row["grounds"] else row["subject"],
                "grounds": ", ".join(row["grounds"]) or "-",
                "samples": ", ".join(map(str, row["samples"])) or "-",
                "evidence": row["evidence"],
                "again with": row["reproduce"] or "-",
            },
        )
        for each in row["attachments"]:
            render.paragraph(f"attached: {each['cid']} ({each['bytes']} bytes, sha256 {each['sha256']})")
        for check in row["checks"]:
            render.paragraph(f"✗ {check.name}: expected {check.expected}; found {check.found}")
        if row["problem"]:
            render.paragraph(f"Its evidence is of no use: {row['problem']}")


@click.command(cls=Command)
@_TASK
@click.option(
    "--verdict",
    type=click.Choice(["stands", "falls", "unavailable"]),
    help="What the audit of the claim, or of the test set, says.",
)
@click.option("--wait", is_flag=True, help="Stay until the vote is over and the stake is back.")
@yes_option
@click.pass_obj
def vote(settings: Settings, task_id: int, verdict: str | None, wait: bool, yes: bool) -> None:
    """Take the next step in the vote on TASK: cast, open, count or collect.

    Run it once while ballots are cast, once while they are opened, and once more after the count; or once with --wait.
    """
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.core.types import TaskId
    from dlbc.roles.loop import said_once
    from dlbc.roles.voting import parse_verdict

    chosen = None if verdict is None else parse_verdict(verdict)
    report = said_once(bootstrap.event_log())
    voter = bootstrap.voter(settings.config(), report, agree(settings, yes), ask_on_terminal())
    try:
        steps: list[VoteStep] = []
        if wait:
            _follow(voter, TaskId(task_id), chosen, report, steps)
        else:
            steps.append(voter.step(TaskId(task_id), chosen))
            while steps[-1].what in ("resolved", "collected"):  # then more can be done at once
                steps.append(voter.step(TaskId(task_id), chosen))
    finally:
        voter.journal.close()
    _tell_vote(settings, task_id, steps)


def _follow(voter: Voter, task_id: Any, verdict: Any, report: Any, steps: list[VoteStep]) -> None:
    """Steps until the vote is over, and says at each change where it stands."""
    from dlbc import bootstrap
    from dlbc.roles.loop import run

    def tick() -> bool:
        step = voter.step(task_id, verdict)
        if step.receipts or not steps or steps[-1].what != step.what:
            steps.append(step)
            report("vote", task_id=task_id, step=step.what, until=step.again_at)
        return not step.is_done

    run(tick, bootstrap.clock(), report=report, pause=bootstrap.pause(voter.chain))


def _tell_vote(settings: Settings, task_id: int, steps: list[VoteStep]) -> None:
    from dlbc.core.errors import DlbcError, Refused, TryLater, Usage

    last = steps[-1]
    sent = [receipt for step in steps for receipt in step.receipts]
    refusals: dict[str, type[DlbcError]] = {"waits": TryLater, "asked": Usage, "powerless": Refused, "missed": TryLater}
    if last.what in refusals and not sent:
        raise refusals[last.what](last.sentence)
    if settings.json:
        render.print_json(
            {
                "taskId": task_id,
                "step": last.what,
                "done": last.is_done,
                "againAt": last.again_at,
                "verdict": last.verdict.name.lower() if last.verdict else None,
                "lockWei": last.lock_wei,
                "sent": sent_json(sent),
                "message": last.sentence,
            }
        )
    else:
        for step in steps:
            render.paragraph(step.sentence)


@click.command(cls=Command)
@_TASK
@click.pass_obj
def collect(settings: Settings, task_id: int) -> None:
    """Collect what TASK owes this account: ballots, bonds, unanswered demands; and withdraw it."""
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.core.types import TaskId
    from dlbc.roles.collecting import collect_task

    config = settings.config()
    chain, pool = bootstrap.chain_and_pool(config, bootstrap.keys(config, ask_on_terminal()))
    tell(settings, collect_task(chain, pool, TaskId(task_id), bootstrap.event_log()), taskId=task_id)


@click.command(cls=Command)
@_TASK
@click.option("--sample", type=_SAMPLE, required=True, help="Which prediction, from 0.")
@click.option("--miner", metavar="ADDRESS", help="Whose (else the leader's, the only one that can be asked).")
@yes_option
@click.pass_obj
def demand(settings: Settings, task_id: int, sample: int, miner: str | None, yes: bool) -> None:
    """Make the leader of TASK show one prediction with its proof, or be struck.

    Takes a small bond, which whoever shows it gets.
    """
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.config import checked_address
    from dlbc.core.types import TaskId

    asked = None if miner is None else checked_address(miner, "--miner")
    refuter = bootstrap.refuter(settings.config(), bootstrap.event_log(), agree(settings, yes), ask_on_terminal())
    tell(settings, refuter.demand(TaskId(task_id), sample, asked), taskId=task_id, sample=sample)


CASE_COMMANDS = (dispute, impeach, evidence, vote, collect, demand)
"""Added to the group in auditor.py."""
