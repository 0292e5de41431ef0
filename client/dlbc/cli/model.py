"""`dlbc model`: fetch a winning model in the form you need, or check a file against a task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlbc.cli import render
from dlbc.cli.options import Group, Settings

if TYPE_CHECKING:
    from dlbc.ports import Progress
    from dlbc.roles.exporting import Exporter, Written
    from dlbc.roles.models import OpenedModel

FORMATS = ("safetensors", "huggingface", "onnx")
_SUFFIXES = {".safetensors": "safetensors", ".onnx": "onnx"}
_QUIET_SECONDS = 2.0


@click.group(cls=Group)
def command() -> None:
    """Fetch a winning model, or check a file against a task."""


@command.command()
@click.argument("task_id", metavar="TASK", type=click.IntRange(min=1))
@click.option("--round", "round_index", type=click.IntRange(min=0), help="Which round (else the current one).")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where to write it.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="safetensors",
    show_default=True,
    help="A file of weights, a folder with a model card, or one ONNX file.",
)
@click.pass_obj
def pull(settings: Settings, task_id: int, round_index: int | None, output: Path, form: str) -> None:
    """Write the winning model of TASK, verified first: nothing unchecked is ever written to the output.

    safetensors: the recorded weights, byte for byte; the architecture goes beside them, to the same name with the
    suffix .json. huggingface: a folder with the weights, config.json, a model card (README.md) and load.py, which
    needs PyTorch alone. onnx: converted for other runtimes; needs the extra `export`.

    What is there already is never overwritten: the same pull may be repeated, other files stay as they are.
    """
    from dlbc.core.types import TaskId

    _check_suffix(output, form)
    with render.ProgressLines(after=_QUIET_SECONDS) as progress:
        exporter = _exporter(settings, progress)
        model = exporter.models.settled(TaskId(task_id), round_index)
        write = {"safetensors": exporter.safetensors, "huggingface": exporter.folder, "onnx": exporter.onnx}[form]
        files = write(model, output)
    if settings.json:
        render.print_json(_told(model, output, form, files))
        return
    for file in files:
        click.echo(f"Wrote {render.printable(str(file.path))} ({render.size(file.size)}).")
    click.echo(f"Model sha256 {model.model_hash.hex()}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", "task_id", type=click.IntRange(min=1), required=True, help="The task it should have won.")
@click.option("--round", "round_index", type=click.IntRange(min=0), help="Which round (else the current one).")
@click.pass_obj
def verify(settings: Settings, file: Path, task_id: int, round_index: int | None) -> int:
    """Check that FILE is the model the ledger records for a task. Exit code 4 if it is not.

    FILE is a safetensors file, a folder of `dlbc model pull --format huggingface` (its weights are checked), or an
    .onnx file, whose weights, metadata and graph are compared with what this client makes of the recorded model.
    """
    from dlbc.cli.audit import EXIT_FAILED, show_checks
    from dlbc.core.errors import NotFound
    from dlbc.core.types import TaskId

    if not file.exists():  # before anything is fetched to compare it with
        raise NotFound(f"model file {file} does not exist")
    with render.ProgressLines(after=_QUIET_SECONDS) as progress:
        exporter = _exporter(settings, progress)
        checks = exporter.verify(exporter.models.settled(TaskId(task_id), round_index), file)
    if settings.json:
        render.print_json({"taskId": task_id, "path": str(file), "verified": checks.passed, "checks": checks.done})
    else:
        show_checks(f"{file} against task {task_id}", tuple(checks.done))
        click.echo("It is the recorded model." if checks.passed else "It is NOT the recorded model.")
    return 0 if checks.passed else EXIT_FAILED


def _check_suffix(output: Path, form: str) -> None:
    """Raises Usage for a name that says another form than --format does: a file has to be what it is called."""
    from dlbc.core.errors import Usage

    implied = _SUFFIXES.get(output.suffix.lower())
    if implied is not None and implied != form:
        raise Usage(f"{output} is named like {implied}, the format is {form}; say --format {implied} or rename it")


def _told(model: OpenedModel, output: Path, form: str, files: list[Written]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "taskId": model.task_id,
        "round": model.round,
        "format": form,
        "path": str(output),
        "sha256": model.model_hash.hex(),
        "files": [{"path": str(file.path), "bytes": file.size, "sha256": file.sha256.hex()} for file in files],
    }
    if form == "safetensors":  # as it was told before there were other forms
        told |= {"bytes": files[0].size, "architecture": str(files[1].path)}
    return told


def _exporter(settings: Settings, progress: Progress) -> Exporter:
    from dlbc import bootstrap

    return bootstrap.exporter(settings.config(), progress)
