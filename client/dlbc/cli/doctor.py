"""`dlbc doctor`: is this machine ready?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dlbc.cli import render
from dlbc.cli.options import Command, Settings

if TYPE_CHECKING:
    from dlbc.core.checkup import Finding


@click.command(cls=Command)
@click.pass_obj
def command(settings: Settings) -> int:
    """Check this machine, the chain, the IPFS node and the account.

    Exit code 1 if there is a problem; warnings leave it 0. Nothing is changed.
    """
    from dlbc import bootstrap
    from dlbc.core.checkup import State

    findings: list[Finding] = []
    count, found = bootstrap.checkup(settings.config())
    with render.ProgressLines(after=2.0) as progress:
        for finding in found:
            findings.append(finding)
            progress("checks", len(findings), count)
    problems = sum(finding.state is State.PROBLEM for finding in findings)
    warnings = sum(finding.state is State.WARNING for finding in findings)
    if settings.json:
        told = [_told(finding) for finding in findings]
        render.print_json({"ok": not problems, "problems": problems, "warnings": warnings, "checks": told})
    else:
        _show(findings, problems, warnings)
    return 1 if problems else 0


def _told(finding: Finding) -> dict[str, str]:
    return {"name": finding.name, "state": finding.state.value, "found": finding.found, "todo": finding.todo}


def _show(findings: list[Finding], problems: int, warnings: int) -> None:
    rows: list[list[str]] = []
    for finding in findings:
        rows.append([finding.name, finding.state.value, finding.found])
        if finding.todo:
            rows.append(["", "", f"→ {finding.todo}"])
    render.table("", ["check", "", "found"], rows)
    if problems or warnings:
        click.echo(f"{problems} {_word('problem', problems)}, {warnings} {_word('warning', warnings)}.")
    else:
        click.echo("Everything is fine.")


def _word(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
