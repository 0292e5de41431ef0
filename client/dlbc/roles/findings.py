"""What an audit saw on its way to a verdict, kept small enough to hold on to: tables and thumbnails, never the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.core import watermark
from dlbc.core.audit_document import Marks, OtherMark, SampleShown, SlotRead
from dlbc.core.errors import BadInput
from dlbc.core.events import ClaimRevealed, ModelOpened
from dlbc.core.manifest import Manifest
from dlbc.core.score_table import ScoreTable, pick, picture, score_table
from dlbc.core.watermark import Detection
from dlbc.ports import Chain, Dataset
from dlbc.roles.copies import Look, Mark

MAX_OTHERS = 8
"""The strongest marks of others are kept, so many."""
NO_MARKS = Marks((), 0, None, 0, 0, 0, 0, ())


@dataclass(slots=True)
class Findings:
    """Filled in by an audit as far as it comes."""

    claim: ClaimRevealed | None = None
    opening: ModelOpened | None = None
    manifest: Manifest | None = None
    score: ScoreTable | None = None
    is_recomputed: bool = False
    """The score is the opened model's own; else it is counted from what the miner published."""
    mismatches: int | None = None
    samples: tuple[SampleShown, ...] = ()
    marks: Marks = NO_MARKS

    def scored(
        self,
        test: Dataset,
        published: NDArray[np.int64],
        again: NDArray[np.int64] | None,
        contradicted: Sequence[int] = (),
    ) -> None:
        """published: the claim's predictions; again: the opened model's, None if there is no verified model."""
        assert self.manifest is not None
        found = published if again is None else again
        self.is_recomputed = again is not None
        self.mismatches = None if again is None else int(np.count_nonzero(again != published))
        self.score = score_table(test.y, found, self.manifest.architecture.classes)
        self.samples = tuple(
            SampleShown(
                index=index,
                label=int(test.y[index]),
                claimed=int(published[index]),
                found=None if again is None else int(again[index]),
                is_decisive=index in contradicted,
                picture=picture(test.x[index]),
            )
            for index in pick(test.y, published, found, tuple(contradicted))
        )

    def own_mark(self, chain: Chain, weights: Mapping[str, Any] | None, opened: Detection | None) -> None:
        """opened: what slot 0 reads. Slots that the miner published since are read too, while the weights are here."""
        if weights is None or opened is None or self.claim is None:
            return
        shapes = watermark.shapes_of(weights)
        proof = self.claim.proof
        read = [_slot(0, "by the opening", opened, shapes)]
        for event in chain.slot_reveals(proof.model_hash):
            if (event.task_id, event.round, event.miner) != (proof.task_id, proof.round, proof.miner):
                continue
            payload = watermark.payload(
                chain.chain_id, chain.market, proof.task_id, proof.round, proof.miner, event.slot
            )
            try:
                found = watermark.detect(weights, event.key, event.slot, payload)
            except BadInput:
                continue  # a slot that a model of this size does not have
            read.append(_slot(event.slot, "as evidence", found, shapes))
        self.marks = replace(self.marks, slots=tuple(read), slots_in_all=watermark.slot_count(shapes))

    def looked(self, look: Look) -> None:
        """look: the search for marks of others."""
        self.marks = replace(
            self.marks,
            tests=look.tests,
            models=look.models,
            aligned=look.aligned,
            not_aligned=look.not_aligned,
            not_served=look.not_served,
            others=tuple(_other(mark, look) for mark in look.marks[:MAX_OTHERS]),
        )


def _other(mark: Mark, look: Look) -> OtherMark:
    reading, slot = mark.reading, mark.reading.slot
    return OtherMark(
        task_id=slot.task_id,
        round=slot.round,
        miner=slot.miner,
        slot=slot.slot,
        strength=round(reading.strength, 2),
        threshold=float(watermark.OWN if reading.is_aligned else watermark.BLIND),
        log2_false_positive=round(look.bound(mark), 1),
        is_aligned=reading.is_aligned,
        means=mark.standing.value,
    )


def _slot(number: int, published: str, found: Detection, shapes: watermark.Shapes) -> SlotRead:
    carriers = sum(band.carriers for band in watermark.bands(shapes, number))
    return SlotRead(
        slot=number,
        published=published,
        correlation=found.correlation,
        energy=found.energy,
        carriers=carriers,
        bits=found.n,
        bits_wrong=found.bits_wrong,
        is_detected=found.is_detected,
    )
