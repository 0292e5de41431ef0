"""`dlbc audit`: verify a task again, from public data alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlbc.cli import render
from dlbc.cli.options import Command, Settings

if TYPE_CHECKING:
    from dlbc.config import Config
    from dlbc.core.report import Check
    from dlbc.core.types import TaskId
    from dlbc.ports import Progress
    from dlbc.roles.auditor import AuditReport
    from dlbc.roles.refuting import Refuted

EXIT_FAILED = 4
_LONGEST = 34


@click.command(cls=Command)
@click.argument("task_id", metavar="TASK", type=click.IntRange(min=1))
@click.option("--round", "round_index", type=click.IntRange(min=0), help="Which round (else the current one).")
@click.option(
    "--model", "model_file", type=click.Path(path_type=Path), help="Audit this file instead of the opened model."
)
@click.option(
    "--refute", is_flag=True, help="Strike every claim that its own predictions prove false. Needs --account."
)
@click.option(
    "--align-limit",
    type=click.IntRange(min=0),
    help="Originals of earlier models to compare with, beyond those whose owners claim a copy (default 16).",
)
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the audit down there: a page that needs nothing else, and JSON.",
)
@click.pass_obj
def command(
    settings: Settings,
    task_id: int,
    round_index: int | None,
    model_file: Path | None,
    refute: bool,
    align_limit: int | None,
    folder: Path | None,
) -> int:
    """Check everything about TASK that can be checked: ledger, signature, model, score, watermark.

    Needs only an RPC endpoint, an IPFS API and the market's address. Exit code 4 if any check fails.

    --refute first holds every revealed claim against its own published predictions, and sends the proof for those
    that are provably false: no bond, and a third of the struck deposit for you.

    --report writes task-N-round-R.html and .json to a folder: timeline, money, score by class, samples, watermark,
    lineage, every check, and the commands that repeat it.
    """
    from dlbc.core.errors import Refused, Usage
    from dlbc.core.types import TaskId

    if refute and (round_index is not None or model_file is not None):
        raise Usage("--refute works on the current round as it was claimed; leave out --round and --model")
    task = TaskId(task_id)
    refuted = _refute(settings, task) if refute else None
    told = {} if refuted is None else {"refuted": _refuted_json(refuted)}
    if refuted is not None and not settings.json:
        _show_refuted(task, refuted)
    with render.ProgressLines() as progress:
        try:
            report, files = _audit(settings.config(), progress, align_limit, task, round_index, model_file, folder)
        except Refused:
            if refuted is None:
                raise
            # Revealed claims can be refuted before there is an opened model to audit.
            if settings.json:
                render.print_json({"taskId": task_id, **told, "audit": "none", "checks": []})
            return EXIT_FAILED if refuted.struck else 0
    return _show_audit(settings, report, told, files)


def _audit(
    config: Config,
    progress: Progress,
    align_limit: int | None,
    task_id: TaskId,
    round_index: int | None,
    model_file: Path | None,
    folder: Path | None,
) -> tuple[AuditReport, list[Path]]:
    """The audit, and the files of its report if a folder is given."""
    from dlbc import bootstrap

    if folder is not None:
        reporter = bootstrap.reporter(config, progress, align_limit)
        return reporter.report(task_id, round_index, folder, model_file=model_file)
    auditor = bootstrap.auditor(config, progress, align_limit, scorer=bootstrap.scorer(begins_now=True))
    return auditor.audit(task_id, round_index, model_file=model_file), []


def _show_audit(settings: Settings, report: AuditReport, told: dict[str, Any], files: list[Path]) -> int:
    from dlbc.core.grounds import grounds_of
    from dlbc.roles.evidence import ground_names

    task_id, failed = report.task_id, [check for check in report.checks if not check.ok]
    grounds = [] if report.is_settled else ground_names(grounds_of(report.checks))
    if settings.json:
        render.print_json(
            {
                **told,
                "taskId": task_id,
                "round": report.round,
                "miner": report.miner,
                "settled": report.is_settled,
                "modelHash": report.model_hash,
                "scorePpm": report.score_ppm,
                "audit": "pass" if report.passed else "fail",
                "grounds": grounds,
                "checks": [
                    {"name": check.name, "ok": check.ok, "expected": check.expected, "found": check.found}
                    for check in report.checks
                ],
                **({"report": {file.suffix.lstrip("."): str(file) for file in files}} if files else {}),
            }
        )
    else:
        state = "settled" if report.is_settled else "opened, not settled yet"
        show_checks(
            f"Task {task_id}, round {report.round} ({state}), miner {render.short(report.miner)}", report.checks
        )
        for check in failed:
            click.echo(f"✗ {check.name}: expected {render.printable(check.expected)}")
            click.echo(f"  found {render.printable(check.found)}")
        click.echo(
            f"PASS: all {len(report.checks)} checks hold; the model scores {render.ppm(report.score_ppm)}"
            if report.passed
            else f"FAIL: {len(failed)} of {len(report.checks)} checks fail"
        )
        if grounds:
            render.paragraph(
                f"Grounds for a dispute, while the challenge lasts: {', '.join(grounds)} "
                f"(dlbc auditor dispute {task_id})"
            )
        for file in files:
            click.echo(f"Report: {file}")
    return 0 if report.passed else EXIT_FAILED


def _refute(settings: Settings, task_id: TaskId) -> Refuted:
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal

    with render.ProgressLines() as progress:
        refuter = bootstrap.refuter(
            settings.config(), bootstrap.event_log(), lambda _: None, ask_on_terminal(), progress
        )
        return refuter.refute(task_id)


def _refuted_json(refuted: Refuted) -> dict[str, Any]:
    from dlbc.core.refutation import Demand, Refutation

    claims = []
    for finding in refuted.findings:
        found = finding.result
        claims.append(
            {
                "miner": finding.miner,
                "fault": found.fault.name.lower() if isinstance(found, Refutation) else None,
                "sample": found.index if found is not None else None,
                "demand": isinstance(found, Demand),
                "struck": finding.miner in refuted.struck,
                "problem": finding.problem,
            }
        )
    tx = [receipt.tx_hash for receipt in refuted.receipts]
    return {"claims": claims, "earnedWei": refuted.earned_wei, "tx": tx}


def _show_refuted(task_id: TaskId, refuted: Refuted) -> None:
    from dlbc.core.refutation import Demand, Refutation

    for finding in refuted.findings:
        who, found = f"The claim of {finding.miner}", finding.result
        if isinstance(found, Refutation):
            fault = found.fault.name.lower().replace("_", " ")
            done = "struck" if finding.miner in refuted.struck else "struck by somebody else"
            render.paragraph(f"{who} proves itself false ({fault} at sample {found.index}): {done}.")
        elif isinstance(found, Demand):
            why = f" ({finding.problem})" if finding.problem else ""
            render.paragraph(
                f"{who} does not show the predictions it was made of{why}. Once it leads, make it: "
                f"dlbc auditor demand {task_id} --sample {found.index}"
            )
    if refuted.struck:
        render.paragraph(f"That earned {render.ether(refuted.earned_wei)}; bring it home with `dlbc wallet withdraw`.")
    elif not any(finding.result for finding in refuted.findings):
        render.paragraph(f"None of {len(refuted.findings)} revealed claims refutes itself.")


def show_checks(title: str, checks: tuple[Check, ...]) -> None:
    """A table that fits 80 columns; values are cut, failing ones are told in full below it."""
    render.table(
        title,
        ["", "check", "found"],
        [["✓" if check.ok else "✗", check.name, _cut(check.found)] for check in checks],
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST + 10 else f"{text[:_LONGEST]}…{text[-8:]}"
