"""`dlbc watermark`: look for registered marks in a model file."""

from __future__ import annotations

from pathlib import Path

import click

from dlbc.cli import render
from dlbc.cli.options import Group, Settings
from dlbc.core.errors import Usage


@click.group(cls=Group)
def command() -> None:
    """Look for registered marks in a model file."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", "task_id", type=click.IntRange(min=1), help="The mark of this task's winner.")
@click.option("--model-hash", metavar="SHA256", help="The mark of this settled model.")
@click.option("--all", "everything", is_flag=True, help="The marks of all models on the ledger.")
@click.pass_obj
def detect(settings: Settings, file: Path, task_id: int | None, model_hash: str | None, everything: bool) -> None:
    """Look blind in FILE for marks whose slot 0 is revealed on the ledger."""
    from dlbc import bootstrap
    from dlbc.core.records import hex_bytes
    from dlbc.core.types import Hash32, TaskId

    if sum((task_id is not None, model_hash is not None, everything)) != 1:
        raise Usage("choose one of --task TASK, --model-hash SHA256 and --all (see `dlbc watermark detect --help`)")
    models = bootstrap.models(settings.config())
    if task_id is not None:
        chosen = [models.settled(TaskId(task_id))]
    elif model_hash is not None:
        digits = model_hash if model_hash.startswith("0x") else f"0x{model_hash}"
        chosen = [models.by_hash(Hash32(hex_bytes(digits, "--model-hash", 32)))]
    else:
        chosen = models.all()
    marks = models.marks_in(file, chosen)
    detected = [mark for mark in marks if mark.is_detected]
    if settings.json:
        render.print_json({"path": str(file), "keys": len(chosen), "detected": len(detected), "marks": marks})
        return
    if not marks:
        click.echo("The ledger has no mark to look for.")
        return
    render.table(
        f"Marks in {file}",
        ["", "task", "miner", "model", "S", "false with probability"],
        [
            [
                "✓" if mark.is_detected else "-",
                mark.task_id,
                render.short(mark.miner),
                render.short(mark.model_hash),
                f"{mark.strength:.2f}",
                f"<= 2^{mark.log2_false_positive:.0f}",
            ]
            for mark in marks
        ],
        right=["task", "S"],
    )
    click.echo(f"{len(detected)} of {len(chosen)} marks detected (S >= 10.53 means a copy).")
