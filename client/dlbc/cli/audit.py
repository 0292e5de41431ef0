"""`dlbc audit`: verify a task again, from public data alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dlbc.cli import render
from dlbc.cli.options import Command, Settings

if TYPE_CHECKING:
    from dlbc.core.report import Check

EXIT_FAILED = 4
_LONGEST = 34


@click.command(cls=Command)
@click.argument("task_id", metavar="TASK", type=click.IntRange(min=1))
@click.option("--round", "round_index", type=click.IntRange(min=0), help="Which round (else the current one).")
@click.option(
    "--model", "model_file", type=click.Path(path_type=Path), help="Audit this file instead of the opened model."
)
@click.pass_obj
def command(settings: Settings, task_id: int, round_index: int | None, model_file: Path | None) -> int:
    """Check everything about TASK that can be checked: ledger, signature, model, score, watermark.

    Needs only an RPC endpoint, an IPFS API and the market's address. Exit code 4 if any check fails.
    """
    from dlbc import bootstrap
    from dlbc.core.types import TaskId

    report = bootstrap.auditor(settings.config()).audit(TaskId(task_id), round_index, model_file=model_file)
    failed = [check for check in report.checks if not check.ok]
    if settings.json:
        render.print_json(
            {
                "taskId": task_id,
                "round": report.round,
                "miner": report.miner,
                "settled": report.is_settled,
                "modelHash": report.model_hash,
                "scorePpm": report.score_ppm,
                "audit": "pass" if report.passed else "fail",
                "checks": [
                    {"name": check.name, "ok": check.ok, "expected": check.expected, "found": check.found}
                    for check in report.checks
                ],
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
    return 0 if report.passed else EXIT_FAILED


def show_checks(title: str, checks: tuple[Check, ...]) -> None:
    """A table that fits 80 columns; values are cut, failing ones are told in full below it."""
    render.table(
        title,
        ["", "check", "found"],
        [["✓" if check.ok else "✗", check.name, _cut(check.found)] for check in checks],
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST + 10 else f"{text[:_LONGEST]}…{text[-8:]}"
