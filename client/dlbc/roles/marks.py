"""The watermark checks of an audit: the miner's own mark is there, and no earlier model's is (P-53, P-93)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.copying import Standing
from dlbc.core.events import ClaimRevealed, ModelOpened
from dlbc.core.proofs import verify_slot_path
from dlbc.core.report import Checks
from dlbc.ports import Chain
from dlbc.roles.copies import CopySearch, Look, Mark, Suspect


def check_own_mark(
    chain: Chain, checks: Checks, claim: ClaimRevealed, opening: ModelOpened, weights: Mapping[str, Any] | None
) -> watermark.Detection | None:
    """Slot 0 of the miner that opened the model. weights None: the model could not be verified, so it was not read."""
    proof = claim.proof
    rooted = verify_slot_path(opening.slot_key, 0, opening.slot_path, proof.watermark_root)
    found = "the path agrees" if rooted else "the path differs"
    checks.that("slot key under root", rooted, "slot 0 of watermarkRoot", found)
    if weights is None:
        checks.that("watermark", False, "the miner's mark", "not read: no verified weights")
        return None
    payload = watermark.payload(chain.chain_id, chain.market, proof.task_id, proof.round, proof.miner, slot=0)
    read = watermark.detect(weights, opening.slot_key, 0, payload)
    checks.that(
        "watermark slot 0",
        read.is_detected,
        f"S >= {float(watermark.OWN)}",
        f"S = {read.strength:.2f}, false <= 2^{read.log2_false_positive:.0f}, bits wrong {read.bits_wrong}",
    )
    return read


def check_no_other_mark(
    search: CopySearch,
    checks: Checks,
    claim: ClaimRevealed,
    weights: Mapping[str, Any],
    architecture: Architecture,
    align_limit: int,
) -> Look:
    """Every published slot of models that others committed earlier, blind; then aligned with some of the originals."""
    committed = search.claim_of(claim)
    slots = search.rivals(search.compatible(architecture), committed)
    look = search.look(Suspect(weights, architecture, committed), slots, limit=align_limit, one=True)
    copies = look.copies
    checks.that(
        "no other miner's mark",
        not copies,
        "no earlier model's mark, but for declared parents'",
        mark_in_words(copies[0], look) if copies else look_in_words(look),
    )
    return look


def mark_in_words(mark: Mark, look: Look) -> str:
    """Whose mark it is, and how sure that is."""
    reading, slot = mark.reading, mark.reading.slot
    how = "aligned with the original" if reading.is_aligned else "blind"
    model = "" if mark.model_hash is None else f"model {mark.model_hash.hex()} of "
    return (
        f"slot {slot.slot} of {model}{slot.miner} (task {slot.task_id}, round {slot.round}): S = "
        f"{reading.strength:.2f}, false <= 2^{look.bound(mark):.0f} in {look.tests} tests, {how}"
    )


def look_in_words(look: Look) -> str:
    """How far a search that found no copy has looked."""
    parts = [f"none in {look.tests} tests of {look.models} models", f"{look.aligned} aligned"]
    if look.not_aligned:
        parts.append(f"{look.not_aligned} not looked at aligned")
    if look.not_served:
        parts.append(f"{look.not_served} originals not served")
    unproven = [mark for mark in look.marks if mark.standing in (Standing.UNPROVEN, Standing.INHERITED)]
    parts += [f"not counted ({mark.standing.value}): {mark_in_words(mark, look)}" for mark in unproven[:1]]
    return ", ".join(parts)
