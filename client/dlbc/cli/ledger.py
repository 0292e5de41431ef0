"""`dlbc ledger`: show and verify the ledger of useful work."""

from __future__ import annotations

import click

from dlbc.cli import render
from dlbc.cli.options import Group, Settings


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


@command.command()
@click.pass_obj
def verify(settings: Settings) -> int:
    """Recompute every block hash, link and winning record. Exit code 4 if any differs."""
    from dlbc import bootstrap
    from dlbc.cli.audit import EXIT_FAILED, show_checks
    from dlbc.roles.ledger import verify_ledger

    headers, checks = verify_ledger(bootstrap.chain(settings.config()))
    if settings.json:
        render.print_json({"blocks": len(headers), "verified": checks.passed, "checks": checks.done})
    else:
        show_checks(f"Ledger of {len(headers)} blocks", tuple(checks.done))
        click.echo("The ledger holds." if checks.passed else "The ledger does NOT hold.")
    return 0 if checks.passed else EXIT_FAILED
