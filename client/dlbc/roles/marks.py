"""The watermark checks of an audit: the miner's own mark is there, and no earlier model's is (P-53, P-93)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlbc.core import watermark
from dlbc.core.proofs import verify_slot_path
from dlbc.core.report import Checks
from dlbc.core.types import Address, ClaimRevealed, ModelOpened, TaskId
from dlbc.ports import Chain


def check_own_mark(
    chain: Chain, checks: Checks, claim: ClaimRevealed, opening: ModelOpened, weights: Mapping[str, Any] | None
) -> None:
    """Slot 0 of the miner that opened the model. weights None: the model could not be verified, so it was not read."""
    proof = claim.proof
    rooted = verify_slot_path(opening.slot_key, 0, opening.slot_path, proof.watermark_root)
    found = "the path agrees" if rooted else "the path differs"
    checks.that("slot key under root", rooted, "slot 0 of watermarkRoot", found)
    if weights is None:
        checks.that("watermark", False, "the miner's mark", "not read: no verified weights")
        return
    read = watermark.detect(weights, opening.slot_key, 0, _payload(chain, proof.task_id, proof.round, proof.miner))
    checks.that(
        "watermark slot 0",
        read.is_detected,
        f"S >= {float(watermark.OWN)}",
        f"S = {read.strength:.2f}, false <= 2^{read.log2_false_positive:.0f}, bits wrong {read.bits_wrong}",
    )


def check_no_other_mark(chain: Chain, checks: Checks, claim: ClaimRevealed, weights: Mapping[str, Any]) -> None:
    """Slot 0 of every model that others opened and had committed to earlier is looked for, blind."""
    proof = claim.proof
    mine = chain.entry(proof.task_id, proof.round, proof.miner).commit_seq
    looked, found = 0, ""
    for opening in _openings_of_others(chain, claim):
        if chain.entry(opening.task_id, opening.round, opening.miner).commit_seq >= mine:
            continue
        looked += 1
        payload = _payload(chain, opening.task_id, opening.round, opening.miner)
        if watermark.detect(weights, opening.slot_key, 0, payload).reaches(watermark.BLIND):
            found = f"that of {opening.miner} in task {opening.task_id}"
    checks.that(
        "no other miner's mark", not found, "no earlier model's mark", found or f"none of {looked} opened earlier"
    )


def _openings_of_others(chain: Chain, claim: ClaimRevealed) -> list[ModelOpened]:
    """Of this round and of settled rounds; the declared parent may be recognised."""
    proof = claim.proof
    rounds = {(proof.task_id, proof.round): None}
    for header in chain.blocks():
        if header.model_hash not in (proof.parent_model, proof.model_hash):
            rounds[header.task_id, header.round] = None
    return [
        opening
        for task_id, index in rounds
        for opening in chain.openings(task_id, index)
        if opening.miner != proof.miner
    ]


def _payload(chain: Chain, task_id: TaskId, round_index: int, miner: Address) -> bytes:
    return watermark.payload(chain.chain_id, chain.market, task_id, round_index, miner, slot=0)
