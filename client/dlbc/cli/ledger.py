"""`dlbc ledger`: show and verify the ledger of useful work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from dlbc.cli import render
from dlbc.cli.options import Group, Settings

if TYPE_CHECKING:
    from dlbc.core.ledger_memory import Depth
    from dlbc.roles.ledger import Finding, LedgerReport


@click.group(cls=Group)
def command() -> None:
    """Show and verify the ledger of useful work."""


@command.command()
@click.pass_obj
def show(settings: Settings) -> None:
    """List the blocks: which model won which task, with which score."""
    from dlbc import bootstrap
    from dlbc.core.proofs import block_hash

    headers = bootstrap.chain(settings.config()).blocks()
    if settings.json:
        render.print_json({"blocks": [{"hash": block_hash(header), "header": header} for header in headers]})
        return
    if not headers:
        click.echo("The ledger has no block yet.")
        return
    render.table(
        "",
        ["block", "hash", "task", "miner", "score", "difficulty", "day (UTC)"],
        [
            [
                header.height,
                render.short(block_hash(header)),
                header.task_id,
                render.short(header.miner),
                render.ppm(header.score_ppm),
                render.difficulty(header.difficulty),
                render.moment(header.timestamp)[:10],
            ]
            for header in headers
        ],
        right=["block", "task", "score", "difficulty"],
    )


_LISTED = 20
"""Blocks that a table tells one by one."""


@command.command()
@click.option("--models", is_flag=True, help="Also fetch every model, unseal it, and check it against its block.")
@click.option("--score", is_flag=True, help="Also audit every model as `dlbc audit` does. Takes long.")
@click.option("--from-genesis", is_flag=True, help="Verify again what earlier runs have verified.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0.1),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a file may take to come from IPFS.",
)
@click.pass_obj
def verify(settings: Settings, models: bool, score: bool, from_genesis: bool, patience: float) -> int:
    """Verify the ledger from genesis: hashes, links, terms, claims, signatures, winners, payouts.

    Needs only an RPC endpoint and the market's address; an IPFS API for --models and --score. What holds is remembered,
    and the next run goes on after it. Models that nobody serves are listed apart: they are no fault of the ledger.
    Exit code 4 if anything is wrong.
    """
    from dlbc import bootstrap
    from dlbc.cli.audit import EXIT_FAILED
    from dlbc.core.ledger_memory import Depth

    depth = Depth.SCORE if score else Depth.MODEL if models else Depth.CHAIN
    began = time.monotonic()
    with render.ProgressLines(after=2.0) as progress:
        verifier = bootstrap.ledger_verifier(settings.config(), patience if depth else None, progress)
        report = verifier.verify(depth, from_genesis=from_genesis)
    seconds = time.monotonic() - began
    if settings.json:
        render.print_json(_in_json(report, depth, seconds))
    else:
        _show(report, depth, seconds)
    return 0 if report.holds else EXIT_FAILED


def _counted(report: LedgerReport) -> dict[str, int]:
    """How often each check was done: those of models only when they failed."""
    names = dict.fromkeys((*report.done, *report.failed))
    return {name: max(report.done[name], report.failed[name]) for name in names}


def _in_json(report: LedgerReport, depth: Depth, seconds: float) -> dict[str, Any]:
    def listed(findings: list[Finding]) -> list[dict[str, Any]]:
        return [
            {"height": each.height, "taskId": each.task_id, "round": each.round}
            | ({"checks": each.failed} if each.failed else {})
            | ({"reason": each.missing} if each.missing else {})
            for each in findings
        ]

    failed = report.failed
    return {
        "blocks": report.blocks,
        "verified": report.holds,
        "verifiedBefore": report.before,
        "depth": depth.label,
        "depths": {each.label: count for each, count in sorted(report.depths.items())},
        "checks": [
            {"name": name, "ok": not failed[name], "done": done, "failed": failed[name]}
            for name, done in _counted(report).items()
        ],
        "wrong": listed(report.wrong),
        "elsewhere": report.elsewhere,
        "unconfirmedSignatures": listed(report.unconfirmed),
        "modelsLookedAt": report.models,
        "unavailable": listed(report.missing),
        "seconds": round(seconds, 3),
        "notes": report.notes,
    }


def _show(report: LedgerReport, depth: Depth, seconds: float) -> None:
    failed = report.failed
    for note in report.notes:
        render.paragraph(f"Note: {note}.")
    blocks = "1 block" if report.blocks == 1 else f"{report.blocks} blocks"
    render.table(
        f"Ledger of {blocks}, {report.before} of them verified before ({seconds:.1f} s)",
        ["", "check", "done", "failed"],
        [["✗" if failed[name] else "✓", name, done, failed[name] or ""] for name, done in _counted(report).items()],
        right=["done", "failed"],
    )
    _show_wrong(report)
    if report.unconfirmed:
        heights = ", ".join(str(each.height) for each in report.unconfirmed[:_LISTED])
        render.paragraph(
            "Signed by no key, but by wallets that are, or were, contracts and do not confirm it any more (the chain "
            f"asked when it took the claim): {len(report.unconfirmed)} blocks, among them {heights}."
        )
    if depth and report.holds:
        _show_models(report, depth)
    click.echo("The ledger holds." if report.holds else "The ledger does NOT hold.")


def _show_wrong(report: LedgerReport) -> None:
    for finding in report.wrong[:_LISTED]:
        for check in finding.failed:
            name = f"block {finding.height} (task {finding.task_id}, round {finding.round})"
            render.paragraph(f"✗ {name}, {check.name}: expected {check.expected}; found {check.found}")
    for check in report.elsewhere[:_LISTED]:
        render.paragraph(f"✗ {check.name}: expected {check.expected}; found {check.found}")
    hidden = max(0, len(report.wrong) - _LISTED) + max(0, len(report.elsewhere) - _LISTED)
    if hidden:
        click.echo(f"… and {hidden} more; --json lists them all.")


def _show_models(report: LedgerReport, depth: Depth) -> None:
    held = sum(count for reached, count in report.depths.items() if reached >= depth)
    what = "are what their blocks say" if depth.label == "model" else "were scored again and hold"
    click.echo(f"{held} of {report.blocks} models {what}; {report.models} were looked at now.")
    if report.missing:
        render.table(
            "Not available now (no fault of the ledger; they are looked for again next time)",
            ["block", "task", "round", "why"],
            [[each.height, each.task_id, each.round, each.missing] for each in report.missing[:_LISTED]],
            right=["block", "task", "round"],
        )
        if len(report.missing) > _LISTED:
            click.echo(f"… and {len(report.missing) - _LISTED} more; --json lists them all.")
