"""The search for copies: one suspect against every slot that was ever published, then against originals (P-91 to P-94).

Blind tests need only keys from the log: a few requests for the whole ledger, whatever its size. Whoever moved units
around hides from them, so originals are fetched and the suspect is aligned with them, as many as the caller allows. An
original that was not looked at is counted as that, never as clean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from dlbc.core import alignment, copying, watermark
from dlbc.core.architecture import Architecture, flops_per_sample, parameters
from dlbc.core.copying import Place, Reading, Slot, Standing
from dlbc.core.errors import BadInput, ChainUnreachable, DlbcError, StorageUnreachable, VerificationFailed
from dlbc.core.events import ClaimRevealed
from dlbc.core.types import ZERO_ADDRESS, ZERO_HASH, Hash32, TaskId
from dlbc.core.watermark import Weights
from dlbc.ports import Chain, Progress, silent
from dlbc.roles.models import Models, OpenedModel

ALIGN_LIMIT = 16
"""Originals that are fetched and aligned with, unless the caller says otherwise."""
ORIGINAL_SECONDS = 20.0
ANCESTORS_READ = 16
"""Of a declared line of parents, so many are searched for a mark that the suspect may have from them."""
NOT_ALIGNED = (BadInput, VerificationFailed)
"""Layers too large, or numbers that lead nowhere: one stranger's original must not end the audit of another's claim."""
_TRIES = 4
_KEPT = 2


def never() -> bool:
    """There is all the time in the world."""
    return False


@dataclass(frozen=True, slots=True)
class Committed:
    """A suspect that is a claim on the ledger."""

    place: Place
    model_hash: Hash32
    commit_seq: int
    parent: Hash32


@dataclass(frozen=True, slots=True)
class Suspect:
    """Weights that may be a copy. claim None: nobody knows when they were made, or from what."""

    weights: Weights
    architecture: Architecture
    claim: Committed | None = None

    @property
    def commit_seq(self) -> int | None:
        """When it was committed to."""
        return None if self.claim is None else self.claim.commit_seq


@dataclass(frozen=True, slots=True)
class Mark:
    """One slot that was looked for, and what it means."""

    reading: Reading
    standing: Standing
    why: str = ""
    model_hash: Hash32 | None = None
    """Of its owner's model, once that was read."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a search did and found."""

    marks: tuple[Mark, ...]
    """Every test, the strongest first."""
    models: int
    """Models with a published slot that could be compared."""
    aligned: int
    not_aligned: int
    """Neither found blind nor aligned with: not looked at."""
    not_served: int
    """Of those, originals that nobody served, or that were not what was promised."""

    @property
    def tests(self) -> int:
        """Keys tried, for the union bound."""
        return len(self.marks)

    @property
    def found(self) -> list[Mark]:
        """Marks that are there, whatever they mean."""
        return [mark for mark in self.marks if mark.reading.is_found]

    @property
    def copies(self) -> list[Mark]:
        """Marks that make the suspect a copy."""
        return [mark for mark in self.marks if mark.standing is Standing.COPY]

    def bound(self, mark: Mark) -> float:
        """log2 of the probability that chance gives such a mark in any of the tests."""
        return copying.union(mark.reading.log2_false_positive, self.tests)


@dataclass(frozen=True, slots=True)
class _Original:
    model: OpenedModel
    weights: Weights


class CopySearch:
    """Looks for registered marks in suspects, on one market. Reads the log once, when it is first needed."""

    def __init__(
        self, chain: Chain, models: Models, progress: Progress = silent, is_late: Callable[[], bool] = never
    ) -> None:
        """is_late: asked before every original; from then on none is looked at, and all that are left are counted."""
        self.chain, self.models, self.progress, self.is_late = chain, models, progress, is_late
        self._originals: dict[Place, _Original | str] = {}
        self._lines: dict[Hash32, dict[Hash32, Place]] = {}

    # ------------------------------------------------------------------ what the log tells

    @cached_property
    def slots(self) -> list[Slot]:
        """Every published slot of every model that was ever opened: slot 0 by the opening, others as evidence."""
        opened = [
            Slot(event.task_id, event.round, event.miner, 0, event.slot_key, None)
            for event in self.chain.all_openings()
        ]
        return opened + [
            Slot(event.task_id, event.round, event.miner, event.slot, event.key, event.commit_seq)
            for event in self.chain.slot_reveals()
        ]

    @cached_property
    def workloads(self) -> dict[TaskId, tuple[int, int]]:
        """(parameters, forward FLOPs per sample) of each task, as its terms say and its miners have checked."""
        return {
            posted.task_id: (posted.terms.workload.parameters, posted.terms.workload.flops_per_sample)
            for posted in self.chain.postings()
        }

    @cached_property
    def commits(self) -> dict[Place, int]:
        """The number of each miner's last commit in each round."""
        return {(event.task_id, event.round, event.miner): event.commit_seq for event in self.chain.all_commits()}

    def compatible(self, architecture: Architecture) -> list[Slot]:
        """Slots of models that may have this architecture: as many parameters and operations."""
        wanted = parameters(architecture), flops_per_sample(architecture)
        return [slot for slot in self.slots if self.workloads.get(slot.task_id) == wanted]

    def rivals(self, slots: Sequence[Slot], claim: Committed) -> list[Slot]:
        """Those of other miners that committed earlier, without the declared line of parents (P-93)."""
        return [slot for slot in slots if self._explained(slot.place, claim) is None]

    def line(self, parent: Hash32) -> dict[Hash32, Place]:
        """A settled parent and its own parents, the nearest first, with who settled them.

        A model may be settled again from an earlier commit with another parent, so a line can even lead back to where
        it began; each model is gone through once.
        """
        if parent not in self._lines:
            found: dict[Hash32, Place] = {}
            model = parent
            while model != ZERO_HASH and model not in found:
                record = self.chain.watermark(model)
                if record.miner == ZERO_ADDRESS:
                    break
                found[model] = (record.task_id, record.round, record.miner)
                model = self.chain.winner(record.task_id, record.round).parent_model
            self._lines[parent] = found
        return self._lines[parent]

    def claim_of(self, revealed: ClaimRevealed) -> Committed:
        """A revealed claim as a suspect."""
        proof = revealed.proof
        place = (proof.task_id, proof.round, proof.miner)
        return Committed(place, proof.model_hash, self.chain.entry(*place).commit_seq, proof.parent_model)

    def settled_claim(self, model_hash: Hash32) -> Committed | None:
        """The settled model with this sha256 as a suspect."""
        record = self.chain.watermark(model_hash)
        if record.miner == ZERO_ADDRESS:
            return None
        parent = self.chain.winner(record.task_id, record.round).parent_model
        return Committed((record.task_id, record.round, record.miner), model_hash, record.commit_seq, parent)

    def payload(self, slot: Slot) -> bytes:
        """What a slot of its owner's model carries."""
        return watermark.payload(
            self.chain.chain_id, self.chain.market, slot.task_id, slot.round, slot.miner, slot.slot
        )

    # ------------------------------------------------------------------ the search

    def look(
        self,
        suspect: Suspect,
        slots: Sequence[Slot],
        *,
        align: str = "auto",
        limit: int = ALIGN_LIMIT,
        one: bool = False,
    ) -> Look:
        """Tries every slot blind, then aligns with originals.

        align: "auto" leaves out models that were found blind, "always" does not, "never" aligns with none. limit:
        originals to align with; whoever published a slot since the suspect's commit comes first, and beyond the limit.
        one: a single copy is enough, look no further.
        Raises VerificationFailed for weights with NaN, infinity or another dtype than float32.
        """
        what = "marks looked for"

        def report(done: int) -> None:
            self.progress(what, done, len(slots))

        marks = [
            self._judged(reading, suspect) for reading in copying.blind(suspect.weights, slots, self.payload, report)
        ]
        models = {mark.reading.slot.place for mark in marks}
        found = {mark.reading.slot.place for mark in marks if mark.reading.is_found}
        candidates = [
            place
            for place in copying.places([mark.reading.slot for mark in marks], suspect.commit_seq)
            if (align == "always" or place not in found) and not self._is_explained(place, suspect)
        ]
        read = [mark.reading.slot for mark in marks]
        is_over = align == "never" or (one and any(mark.standing is Standing.COPY for mark in marks))
        most = 0 if is_over else copying.to_align(read, suspect.commit_seq, limit)
        aligned, not_served = self._align(suspect, candidates, read, most, marks, one)
        seen = found | aligned
        return Look(
            marks=tuple(sorted(marks, key=lambda mark: -mark.reading.strength)),
            models=len(models),
            aligned=len(aligned),
            not_aligned=sum(place not in seen for place in candidates),
            not_served=not_served,
        )

    def judged_as(self, look: Look, suspect: Suspect) -> Look:
        """The same readings, once more is known of the suspect."""
        return replace(look, marks=tuple(self._judged(mark.reading, suspect) for mark in look.marks))

    def read_aligned(self, suspect: Suspect, original: Weights, slots: Sequence[Slot]) -> list[Reading]:
        """The slots of one original, read from the suspect in its frame."""
        found = alignment.align(suspect.weights, original, suspect.architecture)
        return copying.aligned(found.weights, found.cosine, slots, self.payload)

    def inherited(self, reading: Reading, suspect: Suspect, original: Weights) -> bool:
        """Whether a declared parent, or a parent of that, has the same mark: then the suspect did not take it.

        A parent that nobody serves explains nothing: who declares one has it, and can serve it.
        """
        if suspect.claim is None:
            return False
        for place in list(self.line(suspect.claim.parent).values())[:ANCESTORS_READ]:
            parent = self._original(place)
            if isinstance(parent, str) or parent.model.manifest.architecture != suspect.architecture:
                continue
            ancestor = Suspect(parent.weights, suspect.architecture)
            readings = list(copying.blind(parent.weights, [reading.slot], self.payload, lambda _: None))
            with suppress(*NOT_ALIGNED):  # then only blind
                readings += self.read_aligned(ancestor, original, [reading.slot])
            if any(found.is_found for found in readings):
                return True
        return False

    # ------------------------------------------------------------------ inside

    def _align(
        self,
        suspect: Suspect,
        candidates: Sequence[Place],
        slots: Sequence[Slot],
        most: int,
        marks: list[Mark],
        one: bool,
    ) -> tuple[set[Place], int]:
        """Adds what is read after alignment to `marks`; (places aligned with, originals that were not served)."""
        by_place = defaultdict(list)
        for slot in slots:
            by_place[slot.place].append(slot)
        aligned: set[Place] = set()
        not_served = 0
        total = min(most, len(candidates))
        for place in candidates[: _TRIES * most]:
            if len(aligned) >= most or self.is_late():
                break
            self.progress("originals aligned with", len(aligned), total)
            original = self._original(place)
            if isinstance(original, str):
                not_served += 1
            elif original.model.manifest.architecture == suspect.architecture:
                try:
                    readings = self.read_aligned(suspect, original.weights, by_place[place])
                except NOT_ALIGNED:
                    continue  # not looked at
                judged = [self._judged(reading, suspect) for reading in readings]
                marks += judged
                aligned.add(place)
                if one and any(mark.standing is Standing.COPY for mark in judged):
                    break
        if total:
            self.progress("originals aligned with", total, total)
        return aligned, not_served

    def _judged(self, reading: Reading, suspect: Suspect) -> Mark:
        """What a reading means (P-93)."""
        if not reading.is_found:
            return Mark(reading, Standing.NOT_FOUND)
        claim, place = suspect.claim, reading.slot.place
        if claim is not None:
            explained = self._explained(place, claim)
            if explained is not None:
                return Mark(reading, explained)
        original = self._original(place)
        if isinstance(original, str):
            return Mark(reading, Standing.UNPROVEN, original)
        standing, why = Standing.COPY, ""
        if claim is not None and original.model.model_hash in self.line(claim.parent):
            standing = Standing.ANCESTOR
        elif original.model.manifest.architecture != suspect.architecture:
            standing, why = Standing.UNPROVEN, "its owner's model has another architecture"
        elif not self.is_in(original.weights, reading.slot):
            standing, why = Standing.UNPROVEN, "its owner's own model does not carry it"
        elif self.inherited(reading, suspect, original.weights):
            standing = Standing.INHERITED
        return Mark(reading, standing, why, original.model.model_hash)

    def is_in(self, weights: Weights, slot: Slot) -> bool:
        """The owner's mark is in its own original."""
        return watermark.detect(weights, slot.key, slot.slot, self.payload(slot)).is_detected

    def _is_explained(self, place: Place, suspect: Suspect) -> bool:
        return suspect.claim is not None and self._explained(place, suspect.claim) is not None

    def _explained(self, place: Place, claim: Committed) -> Standing | None:
        """Why a mark of this model in the claim is no theft, as far as the log alone tells."""
        if place == claim.place:
            return Standing.ITSELF
        if place[2] == claim.place[2]:
            return Standing.SAME_MINER
        if place in self.line(claim.parent).values():
            return Standing.ANCESTOR
        if self.commits.get(place, claim.commit_seq) >= claim.commit_seq:
            return Standing.LATER
        return None

    def _original(self, place: Place) -> _Original | str:
        """An opened model with its weights, or why there is none; the last few are kept."""
        if place not in self._originals:
            while len(self._originals) >= _KEPT:
                self._originals.pop(next(iter(self._originals)))
            try:
                model = self.models.opened(*place)
                self._originals[place] = _Original(model, self.models.weights(model))
            except (ChainUnreachable, StorageUnreachable):
                raise
            except DlbcError as error:
                self._originals[place] = f"its owner's model could not be read: {error}"
        return self._originals[place]
