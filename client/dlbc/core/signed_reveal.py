"""A reveal as a file: whoever has it can send it for its miner, and nobody can change it (P-41).

The miner's signature binds proof and claim, and the commitment on chain binds proof and salt: a changed file is refused
by the contract. It holds nothing that the reveal itself does not publish; it is written once the test set is public.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields

from dlbc.core import canonical
from dlbc.core.decide import Decision, Do, Facts
from dlbc.core.errors import BadInput
from dlbc.core.hashing import is_address
from dlbc.core.records import to_record
from dlbc.core.turns import delay
from dlbc.core.types import Address, Claim, Entry, Hash32, Locator, Phase, TaskId, Timestamp, TrainingProof

MAX_BYTES = 16_384
MAX_SIGNATURE_BYTES = 4_096
"""A contract wallet's may be longer than a key's 65 bytes (ERC-1271)."""
OWN_TURN = 8
"""The first eighth of the reveal window is the miner's own, in the second each keeper waits for its lot: two senders of
one reveal would both pay for it."""

_KEYS = {"dlbc_reveal", "chain_id", "market", "proof", "salt", "claim", "h_top", "signature"}
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*")


@dataclass(frozen=True, slots=True)
class SignedReveal:
    """Everything Chain.reveal takes, for one market on one chain."""

    chain_id: int
    market: Address
    proof: TrainingProof
    salt: bytes = field(repr=False)
    claim: Claim
    h_top: Hash32
    signature: bytes = field(repr=False)

    @property
    def file_name(self) -> str:
        """The same for every attempt of one miner in one round."""
        proof, market = self.proof, self.market.lower()
        return f"reveal-{self.chain_id}-{market}-{proof.task_id}-{proof.round}-{proof.miner.lower()}.json"


def to_bytes(reveal: SignedReveal) -> bytes:
    """The content of its file."""
    return canonical.to_bytes({"dlbc_reveal": 1, **to_record(reveal)})


def from_bytes(data: bytes) -> SignedReveal:
    """The inverse, for bytes from strangers. Raises BadInput for anything that to_bytes would not write."""
    value = canonical.from_bytes(data, what="signed reveal", max_bytes=MAX_BYTES)
    canonical.table(value, _KEYS, what="signed reveal")
    canonical.whole(value["dlbc_reveal"], 1, 1, what="dlbc_reveal")
    proof = canonical.table(value["proof"], {one.name for one in fields(TrainingProof)}, what="proof")
    claim = canonical.table(value["claim"], {one.name for one in fields(Claim)}, what="claim")
    return SignedReveal(
        chain_id=canonical.whole(value["chain_id"], 1, canonical.MAX_INT, what="chain_id"),
        market=_address(value, "market"),
        proof=TrainingProof(
            task_id=TaskId(canonical.whole(proof["task_id"], 1, canonical.MAX_INT, what="task_id")),
            round=canonical.whole(proof["round"], 0, 2**16 - 1, what="round"),
            miner=_address(proof, "miner"),
            model_hash=_hash(proof, "model_hash"),
            sealed_model=Locator(_hash(proof, "sealed_model")),
            seal_key_hash=_hash(proof, "seal_key_hash"),
            watermark_root=_hash(proof, "watermark_root"),
            parent_model=_hash(proof, "parent_model"),
        ),
        salt=_hash(value, "salt"),
        claim=Claim(
            total=canonical.whole(claim["total"], 0, 2**64 - 1, what="total"),
            predictions_root=_hash(claim, "predictions_root"),
            predictions=Locator(_hash(claim, "predictions")),
        ),
        h_top=_hash(value, "h_top"),
        signature=_bytes(value, "signature", 1, MAX_SIGNATURE_BYTES),
    )


def decide_relay(facts: Facts, entry: Entry, round_index: int, lot: int) -> Decision:
    """What a keeper with this lot does with a signed reveal; FINISH = it is of no use any more."""
    phase, ends_at = facts.phase, facts.phase.ends_at
    if facts.task.round > round_index or phase.phase > Phase.REVEALING or phase.due:
        return Decision(Do.FINISH, "the reveal window is over")
    if facts.task.round < round_index or phase.phase is not Phase.REVEALING:
        return Decision(Do.WAIT, "the test set is not released yet", ends_at)
    if entry.has_revealed:
        return Decision(Do.WAIT, "it is on chain", ends_at)  # kept: a reorganisation may drop it
    seconds = facts.task.reveal_seconds
    share = seconds // OWN_TURN
    turn = Timestamp(ends_at - seconds + share)
    if facts.now < turn:
        return Decision(Do.WAIT, "its miner may still send it", turn)
    turn = Timestamp(turn + delay(share, lot))
    if facts.now < turn:
        return Decision(Do.WAIT, "another keeper may send it first", turn)
    return Decision(Do.REVEAL, "its miner has not sent it", ends_at)


def _address(table: dict[str, object], name: str) -> Address:
    value = table[name]
    if not isinstance(value, str) or not is_address(value):
        raise BadInput(f"{name}: expected an address (0x and 40 hex digits), found {str(value)[:60]!r}")
    return Address(value)


def _hash(table: dict[str, object], name: str) -> Hash32:
    return Hash32(_bytes(table, name, 32, 32))


def _bytes(table: dict[str, object], name: str, least: int, most: int) -> bytes:
    value = table[name]
    if isinstance(value, str) and 2 * least + 2 <= len(value) <= 2 * most + 2 and _HEX.fullmatch(value):
        return bytes.fromhex(value[2:])
    expected = f"{least}" if least == most else f"{least} to {most}"
    raise BadInput(f"{name}: expected 0x and the lower-case hex digits of {expected} bytes, found {str(value)[:60]!r}")
