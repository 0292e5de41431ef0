"""`dlbc watermark`: look for registered marks in a model file, and prove that a model is a copy of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlbc.cli import render
from dlbc.cli.confirm import agree, sent_json
from dlbc.cli.options import Group, Settings, typed_hash
from dlbc.core.errors import Usage

if TYPE_CHECKING:
    from dlbc.roles.claiming import SlotEvidence
    from dlbc.roles.copies import Mark
    from dlbc.roles.detecting import Detected

_PATIENCE = 2.0
_ROWS = 5
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=Group)
def command() -> None:
    """Look for registered marks in a model file, and prove that a model is a copy of yours."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", "task_id", type=click.IntRange(min=1), help="The marks of this task's winner.")
@click.option("--model-hash", metavar="SHA256", help="The marks of this settled model.")
@click.option("--all", "everything", is_flag=True, help="The marks of all models that were ever opened.")
@click.option(
    "--align",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Fetch originals and undo what may hide their marks: where none was found blind, everywhere, or nowhere.",
)
@click.option(
    "--align-limit", type=click.IntRange(min=1), default=16, show_default=True, help="So many originals at most."
)
@click.pass_obj
def detect(
    settings: Settings,
    file: Path,
    task_id: int | None,
    model_hash: str | None,
    everything: bool,
    align: str,
    align_limit: int,
) -> None:
    """Look in FILE for every mark whose key is public: slot 0 of opened models, and slots published as evidence.

    First blind, with all keys; then FILE is aligned with originals of the same architecture, the newest first, because
    moving units around hides a mark from a blind look. Exit code 0 whatever is found.
    """
    from dlbc import bootstrap
    from dlbc.core.types import TaskId

    if sum((task_id is not None, model_hash is not None, everything)) != 1:
        raise Usage("choose one of --task TASK, --model-hash SHA256 and --all (see `dlbc watermark detect --help`)")
    with render.ProgressLines(after=_PATIENCE) as progress:
        detector = bootstrap.detector(settings.config(), progress)
        models, model = detector.search.models, None
        if task_id is not None:
            model = models.settled(TaskId(task_id))
        elif model_hash is not None:
            model = models.by_hash(typed_hash(model_hash, "--model-hash"))
        found = detector.detect(file, model, align=align, limit=align_limit)
    if settings.json:
        render.print_json(_detected_json(found))
    else:
        _show_detected(found)


@command.command()
@click.option("--model-hash", metavar="SHA256", required=True, help="Your settled model.")
@click.option("--against", "file", type=_FILE, metavar="FILE", help="The model that may be a copy.")
@click.option("--task", "task_id", type=click.IntRange(min=1), help="What was opened in this task may be a copy.")
@click.option("--round", "round_index", type=click.IntRange(min=0), help="Which round of it (else the current one).")
@click.option("--slot", type=click.IntRange(min=0), help="Which of your slots (else one that nobody knows yet).")
@click.option("--publish/--dry-run", default=True, help="Publish the slot, or only say what is found. [publish]")
@click.option("-o", "--output", type=_FILE, metavar="FILE", help="Where the evidence goes, to attach to a dispute.")
@click.option("--yes", is_flag=True, help="Do not ask before the slot is published.")
@click.pass_obj
def claim(
    settings: Settings,
    model_hash: str,
    file: Path | None,
    task_id: int | None,
    round_index: int | None,
    slot: int | None,
    publish: bool,
    output: Path | None,
    yes: bool,
) -> None:
    """Prove that a model is a copy of yours, by a watermark slot that nobody could have removed.

    The slot is looked for before anything is sent: it has to be in your own model and in the suspect, and not in what
    the suspect declares as its parent. Only then its key is published, for auditors to see. That burns the slot: who
    reads its key can remove it from copies made later. Exit code 4, and nothing published, if there is no evidence.
    """
    from dlbc import bootstrap
    from dlbc.cli.password import ask_on_terminal
    from dlbc.core.types import TaskId
    from dlbc.roles.claiming import check_output, write_evidence

    if round_index is not None and task_id is None:
        raise Usage("--round goes with --task: which of that task's rounds")
    if output is None and publish:
        raise Usage("say where the evidence goes with -o FILE, or only look with --dry-run")
    if output is not None:
        check_output(output)
    with render.ProgressLines(after=_PATIENCE) as progress:
        owner = bootstrap.owner(
            settings.config(), bootstrap.event_log(), agree(settings, yes), ask_on_terminal(), progress
        )
        evidence = owner.claim(
            typed_hash(model_hash, "--model-hash"),
            file=file,
            against=None if task_id is None else (TaskId(task_id), round_index),
            slot=slot,
            publish=publish,
        )
    if output is not None and evidence.is_published:
        write_evidence(evidence, output)
    _show_claim(settings, evidence, output)


# ------------------------------------------------------------------ what is shown


def _detected_json(found: Detected) -> dict[str, Any]:
    from dlbc.core import watermark

    look = found.look
    return {
        "path": found.path,
        "sha256": found.sha256,
        "widened": list(found.widened),
        "openedAs": None if found.claim is None else _place_json(found.claim.place),
        "keys": len({(mark.reading.slot.place, mark.reading.slot.slot) for mark in look.marks}),
        "models": look.models,
        "tests": look.tests,
        "thresholds": {"blind": float(watermark.BLIND), "aligned": float(watermark.OWN)},
        "aligned": look.aligned,
        "notAligned": look.not_aligned,
        "notServed": look.not_served,
        "detected": found.detected,
        "copies": 0 if found.claim is None else len(look.copies),
        "verdict": found.verdict.value,
        "marks": [_mark_json(found, mark) for mark in look.marks],
    }


def _mark_json(found: Detected, mark: Mark) -> dict[str, Any]:
    reading = mark.reading
    return {
        **_place_json(reading.slot.place),
        "modelHash": found.model_hash(mark),
        "slot": reading.slot.slot,
        "read": "aligned" if reading.is_aligned else "blind",
        "cosine": reading.cosine if reading.is_aligned else None,
        "strength": reading.strength,
        "log2FalsePositive": reading.log2_false_positive,
        "log2Bound": found.look.bound(mark),
        "isDetected": reading.is_found,
        "meaning": _meaning(found, mark),
        "why": mark.why,
    }


def _place_json(place: tuple[Any, int, Any]) -> dict[str, Any]:
    return {"taskId": place[0], "round": place[1], "miner": place[2]}


def _show_detected(found: Detected) -> None:
    look = found.look
    if found.widened:
        render.paragraph(f"{found.path} holds {' and '.join(found.widened)}, widened to float32 to be read.")
    if not look.marks:
        click.echo("The ledger has no mark to look for.")
        return
    shown = look.found + [mark for mark in look.marks if not mark.reading.is_found][:_ROWS]
    render.table(
        f"Marks in {found.path}",
        ["", "task", "slot", "miner", "read", "S", "by chance", "meaning"],
        [_row(found, mark) for mark in shown],
        right=["task", "slot", "S"],
    )
    if len(shown) < len(look.marks):
        click.echo(f"{len(look.marks) - len(shown)} weaker ones are in --json.")
    for sentence in _sentences(found):
        render.paragraph(sentence)


def _row(found: Detected, mark: Mark) -> list[object]:
    reading = mark.reading
    return [
        "✓" if reading.is_found else "-",
        reading.slot.task_id,
        reading.slot.slot,
        render.short(reading.slot.miner),
        "aligned" if reading.is_aligned else "blind",
        f"{reading.strength:.2f}",
        f"<= 2^{found.look.bound(mark):.0f}" if found.look.bound(mark) < 0 else "<= 1",
        _meaning(found, mark),
    ]


def _meaning(found: Detected, mark: Mark) -> str:
    """Of a file from nowhere nobody knows whether it was taken or given."""
    from dlbc.core.copying import Standing

    return "carried" if mark.standing is Standing.COPY and found.claim is None else mark.standing.value


def _sentences(found: Detected) -> list[str]:
    """What was looked at, what was not, and what follows."""
    look = found.look
    looked = (
        f"{look.tests} tests of {look.models} models (S >= 10.53 blind, 13.32 aligned; the chances count every test); "
        f"aligned with {look.aligned} originals"
    )
    if look.not_aligned:
        served = f", {look.not_served} of them because nobody serves them" if look.not_served else ""
        looked += f", not with {look.not_aligned}{served}: a copy with moved units may hide there"
    said = [f"{looked}."]
    if found.claim is not None:
        said.append(f"The file is the model that {found.claim.place[2]} opened in task {found.claim.place[0]}.")
    for mark in look.copies:
        model = found.model_hash(mark)
        whose = (
            f"model {model.hex()} of {mark.reading.slot.miner}" if model else f"a model of {mark.reading.slot.miner}"
        )
        said.append(
            f"It carries the mark of {whose} (task {mark.reading.slot.task_id}, slot {mark.reading.slot.slot})."
        )
    if not look.copies and look.found:
        said.append("What was found is no theft: " + "; ".join(_explained(mark) for mark in look.found[:_ROWS]) + ".")
    if not look.found:
        said.append("No mark was found where it was looked.")
    return said


def _explained(mark: Mark) -> str:
    why = f" ({mark.why})" if mark.why else ""
    return f"task {mark.reading.slot.task_id}: {mark.standing.value}{why}"


def _show_claim(settings: Settings, evidence: SlotEvidence, output: Path | None) -> None:
    written = output if evidence.is_published else None
    if settings.json:
        render.print_json(_claim_json(evidence, written))
        return
    reading = evidence.suspect
    render.facts(
        "Evidence of a copy",
        {
            "model": evidence.model_hash.hex(),
            "suspect": evidence.suspect_sha256.hex(),
            "slot": evidence.slot,
            "S in model": f"{evidence.original.strength:.2f}",
            "S found": f"{reading.strength:.2f}, {'aligned' if reading.is_aligned else 'blind'}",
            "by chance": f"<= 2^{evidence.log2_bound:.0f} in {evidence.tests} tests",
        },
    )
    if not evidence.is_published:
        render.paragraph("Nothing was published, and nothing written: that was a dry run.")
        return
    sent = "is published now" if evidence.receipts else "was published before; nothing was sent"
    where = f" The evidence is in {written}." if written is not None else ""
    render.paragraph(f"Slot {evidence.slot} {sent}.{where} Anybody sees the same with: {evidence.reproduce}")
    if evidence.suspect_claim is not None:
        attach = f" --evidence {written}" if written is not None else ""
        render.paragraph(f"While the challenge lasts: dlbc auditor dispute {evidence.suspect_claim.place[0]}{attach}")


def _claim_json(evidence: SlotEvidence, written: Path | None) -> dict[str, Any]:
    claim, reading = evidence.suspect_claim, evidence.suspect
    return {
        "modelHash": evidence.model_hash,
        "slot": evidence.slot,
        "published": evidence.is_published,
        "sent": sent_json(evidence.receipts),
        "path": written,
        "originalStrength": evidence.original.strength,
        "strength": reading.strength,
        "read": "aligned" if reading.is_aligned else "blind",
        "cosine": reading.cosine if reading.is_aligned else None,
        "log2FalsePositive": reading.log2_false_positive,
        "tests": evidence.tests,
        "log2Bound": evidence.log2_bound,
        "suspectSha256": evidence.suspect_sha256,
        "suspect": None if claim is None else _place_json(claim.place),
        "reproduce": evidence.reproduce,
    }
