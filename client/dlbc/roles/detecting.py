"""A model file from anywhere, held against every mark that was ever published on the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from dlbc.core.architecture import Architecture, tensor_shapes
from dlbc.core.copying import Place, trained_values
from dlbc.core.errors import BadInput, Unavailable, VerificationFailed
from dlbc.core.types import Hash32, TaskId
from dlbc.core.watermark import shapes_of
from dlbc.ports import ReadWeights
from dlbc.roles.artifacts import fetch_manifest
from dlbc.roles.copies import ALIGN_LIMIT, Committed, CopySearch, Look, Mark, Suspect
from dlbc.roles.models import OpenedModel

_MANIFESTS = 8
"""Manifests that are read to learn a file's architecture, of tasks with equal parameters and operations."""
_NOTHING = Look((), 0, 0, 0, 0)


class Verdict(Enum):
    """What can be said of the file."""

    COPY = "copy"
    MARKED = "marked"  # somebody's mark is in it, and nothing else is known of the file
    EXPLAINED = "explained"  # marks are there, and no theft: itself, declared, later
    NOTHING = "nothing found"  # where it was looked, which may not be everywhere


@dataclass(frozen=True, slots=True)
class Detected:
    """What was found in one file."""

    path: Path
    sha256: Hash32
    widened: tuple[str, ...]
    claim: Committed | None
    """The settled or opened model that this file is, if it is one."""
    look: Look
    hashes: Mapping[Place, Hash32]
    """Of settled models."""

    @property
    def verdict(self) -> Verdict:
        """One word for it."""
        if self.look.copies:
            return Verdict.MARKED if self.claim is None else Verdict.COPY
        return Verdict.EXPLAINED if self.look.found else Verdict.NOTHING

    @property
    def detected(self) -> int:
        """Slots that were found, each counted once."""
        return len({(mark.reading.slot.place, mark.reading.slot.slot) for mark in self.look.found})

    def model_hash(self, mark: Mark) -> Hash32 | None:
        """Of the model whose mark it is; None if that was never settled and not fetched."""
        return mark.model_hash or self.hashes.get(mark.reading.slot.place)


@dataclass(frozen=True, slots=True)
class Detector:
    """Reads files and searches them."""

    search: CopySearch
    read: ReadWeights

    def detect(
        self, file: Path, model: OpenedModel | None = None, *, align: str = "auto", limit: int = ALIGN_LIMIT
    ) -> Detected:
        """Every published mark of one model, or of all compatible ones, is looked for in the file.

        Raises VerificationFailed, with how the tensors differ, for a file of another architecture.
        """
        found = self.read(file)
        shapes = shapes_of(found.weights)
        search = self.search
        claim = search.settled_claim(found.sha256)
        if model is not None:
            architecture: Architecture | None = model.manifest.architecture
            differing = difference(shapes, model.manifest.architecture)
            if differing:
                raise VerificationFailed(
                    f"{file} has not the architecture of task {model.task_id}'s model, so its mark can't be looked "
                    f"for: {differing}"
                )
            place = (model.task_id, model.round, model.miner)
            slots = [slot for slot in search.slots if slot.place == place]
        else:
            architecture = self._architecture(file, shapes)
            slots = search.compatible(architecture) if architecture is not None else []
        look = _NOTHING
        if architecture is not None:
            look = search.look(Suspect(found.weights, architecture, claim), slots, align=align, limit=limit)
            itself = next((mark for mark in look.found if mark.model_hash == found.sha256), None)
            if claim is None and itself is not None:  # opened, not settled: its own slot 0 leads to it
                claim = search.claim_of(search.models.opened(*itself.reading.slot.place).claim)
                look = search.judged_as(look, Suspect(found.weights, architecture, claim))
        hashes = {(block.task_id, block.round, block.miner): block.model_hash for block in search.chain.blocks()}
        return Detected(file, found.sha256, found.widened, claim, look, hashes)

    def _architecture(self, file: Path, shapes: Mapping[str, Sequence[int]]) -> Architecture | None:
        """That of the opened models with exactly these tensors; None while nothing was opened.

        Terms say how many parameters and operations a model has: few manifests speak for all that agree in both.
        """
        opened = {slot.task_id for slot in self.search.slots}
        if not opened:
            return None
        wanted = trained_values(shapes)
        told = self.search.workloads
        alike = [task_id for task_id in opened if task_id in told and told[task_id][0] == wanted]
        differing = ""
        for architecture in self._architectures(alike):
            difference_ = difference(shapes, architecture)
            if not difference_:
                return architecture
            differing = differing or difference_
        if not alike:
            differing = f"it has {wanted} values, and theirs have other numbers of them"
        elif not differing:
            raise Unavailable(
                "nobody serves the manifests of the models that the file could be compared with; try again"
            )
        raise VerificationFailed(
            f"{file} has the architecture of none of the {len(opened)} models that were opened, so no mark can be "
            f"looked for: {differing}"
        )

    def _architectures(self, tasks: Iterable[TaskId]) -> Iterable[Architecture]:
        """A few for each number of operations, the newest first."""
        groups: dict[int, list[TaskId]] = {}
        for task_id in sorted(tasks, reverse=True):
            groups.setdefault(self.search.workloads[task_id][1], []).append(task_id)
        models = self.search.models
        for group in groups.values():
            for task_id in group[:_MANIFESTS]:
                try:
                    posted = models.chain.task_posted(task_id)
                    yield fetch_manifest(models.storage, posted, timeout=models.fetch_seconds).architecture
                except (Unavailable, VerificationFailed, BadInput):
                    continue


def difference(shapes: Mapping[str, Sequence[int]], architecture: Architecture) -> str:
    """How tensors differ from those of an architecture, in one phrase; "" if they do not."""
    expected = tensor_shapes(architecture)
    missing = [name for name in expected if name not in shapes]
    extra = [name for name in shapes if name not in expected]
    if missing or extra:
        return f"missing are {_names(missing)}; not expected are {_names(extra)}"
    other = next((name for name in expected if tuple(shapes[name]) != expected[name]), None)
    if other is None:
        return ""
    return f"{other} is expected as {list(expected[other])}, found {list(shapes[other])}"


def _names(names: Sequence[str]) -> str:
    shown = [ascii(name)[1:-1][:60] for name in names[:4]]
    return ", ".join(shown) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "none"
