"""`dlbc model`: fetch a winning model, or check a file against a task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dlbc.cli import render
from dlbc.cli.options import Group, Settings

if TYPE_CHECKING:
    from dlbc.roles.models import Models


@click.group(cls=Group)
def command() -> None:
    """Fetch a winning model, or check a file against a task."""


@command.command()
@click.argument("task_id", metavar="TASK", type=click.IntRange(min=1))
@click.option("--round", "round_index", type=click.IntRange(min=0), help="Which round (else the current one).")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where to write the weights.")
@click.pass_obj
def pull(settings: Settings, task_id: int, round_index: int | None, output: Path) -> None:
    """Write the winning weights of TASK, verified first: nothing unchecked is ever written to the output.

    The architecture they fill goes beside them, to the same name with the suffix .json.
    """
    from dlbc.core.types import TaskId
    from dlbc.roles.models import architecture_file

    models = _models(settings)
    model = models.settled(TaskId(task_id), round_index)
    size = models.pull(model, output)
    if settings.json:
        told = {"path": str(output), "bytes": size, "sha256": model.model_hash.hex()}
        render.print_json({"taskId": task_id, **told, "architecture": str(architecture_file(output))})
    else:
        click.echo(f"Wrote {output} ({render.size(size)}) and {architecture_file(output)}.")
        click.echo(f"sha256 {model.model_hash.hex()}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", "task_id", type=click.IntRange(min=1), required=True, help="The task it should have won.")
@click.option("--round", "round_index", type=click.IntRange(min=0), help="Which round (else the current one).")
@click.pass_obj
def verify(settings: Settings, file: Path, task_id: int, round_index: int | None) -> int:
    """Check that FILE is the model the ledger records for a task. Exit code 4 if it is not."""
    from dlbc.cli.audit import EXIT_FAILED, show_checks
    from dlbc.core.types import TaskId

    models = _models(settings)
    checks = models.verify_file(models.settled(TaskId(task_id), round_index), file)
    if settings.json:
        render.print_json({"taskId": task_id, "path": str(file), "verified": checks.passed, "checks": checks.done})
    else:
        show_checks(f"{file} against task {task_id}", tuple(checks.done))
        click.echo("It is the recorded model." if checks.passed else "It is NOT the recorded model.")
    return 0 if checks.passed else EXIT_FAILED


def _models(settings: Settings) -> Models:
    from dlbc import bootstrap

    return bootstrap.models(settings.config())
