"""What miners, requesters and auditors sign and commit to: EIP-712 digests, commitments, ballots, block hashes, slot
trees.

Agrees with contracts/libraries/ProofLib.sol, MerkleLib.sol, ModelRegistry.sol and AuditorPool.sol to the last bit
(tests/vectors/protocol.json).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from dlbc.core.errors import BadInput
from dlbc.core.hashing import Word, h, keccak
from dlbc.core.types import (
    Address,
    BlockHeader,
    Claim,
    Hash32,
    TaskId,
    Terms,
    TestSet,
    TrainingProof,
    Verdict,
)

DOMAIN_NAME = "DLBC"
DOMAIN_VERSION = "1"
SECRETS_WARNING = (
    "Whoever holds this signature can unseal this model and strip its watermark. "
    "Sign it only in your own DLBC miner, never anywhere else."
)
BALLOT_WARNING = (
    "Whoever holds this signature can read this ballot before it is opened. "
    "Sign it only in your own DLBC auditor, never anywhere else."
)
SLOT_COUNTS = (2, 4, 8)

_DOMAIN_FIELDS = (
    ("string", "name"),
    ("string", "version"),
    ("uint256", "chainId"),
    ("address", "verifyingContract"),
)
_PROOF_FIELDS = (
    ("uint256", "taskId"),
    ("uint16", "round"),
    ("address", "miner"),
    ("bytes32", "modelHash"),
    ("bytes32", "sealedModel"),
    ("bytes32", "sealKeyHash"),
    ("bytes32", "watermarkRoot"),
    ("bytes32", "parentModel"),
)
_CLAIM_FIELDS = (
    ("bytes32", "proof"),
    ("uint64", "total"),
    ("bytes32", "predictionsRoot"),
    ("bytes32", "predictions"),
)
_BALLOT_FIELDS = (("bytes32", "disputeId"), ("string", "warning"))
_SECRETS_FIELDS = (("uint256", "taskId"), ("uint16", "round"), ("uint32", "attempt"), ("string", "warning"))


def _type_hash(name: str, fields: Sequence[tuple[str, str]]) -> Hash32:
    return keccak(f"{name}({','.join(' '.join(field) for field in fields)})".encode())


_DOMAIN_TYPE_HASH = _type_hash("EIP712Domain", _DOMAIN_FIELDS)
_PROOF_TYPE_HASH = _type_hash("TrainingProof", _PROOF_FIELDS)
_CLAIM_TYPE_HASH = _type_hash("ScoreClaim", _CLAIM_FIELDS)


# ---------------------------------------------------------------- posting


def terms_hash(terms: Terms, test_commitments: Sequence[Hash32]) -> Hash32:
    """H(20 words of the terms, keccak256 of the concatenated test commitments) (P-11)."""
    for commitment_ in test_commitments:
        if len(commitment_) != 32:
            raise BadInput(f"test commitment: expected 32 bytes, found {len(commitment_)}")
    return h(*_term_words(terms), keccak(b"".join(test_commitments)))


def test_commitment(test_set: TestSet) -> Hash32:
    """H of the eight words of the test set's preimage (P-13)."""
    return h(*astuple(test_set))


test_commitment.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def key_hash(key: bytes) -> Hash32:
    """keccak256 of a 32-byte test key or sealing key."""
    if len(key) != 32:
        raise BadInput(f"expected a key of 32 bytes, found {len(key)}")
    return keccak(key)


# ---------------------------------------------------------------- proof, commitment, claim


def domain_separator(chain_id: int, market: Address) -> Hash32:
    """EIP-712 domain separator of a market."""
    return h(
        _DOMAIN_TYPE_HASH,
        keccak(DOMAIN_NAME.encode()),
        keccak(DOMAIN_VERSION.encode()),
        chain_id,
        market,
    )


def proof_digest(proof: TrainingProof, chain_id: int, market: Address) -> Hash32:
    """EIP-712 digest of a training proof (P-31)."""
    return _typed_digest(h(_PROOF_TYPE_HASH, *astuple(proof)), chain_id, market)


def commitment(digest: Hash32, salt: bytes) -> Hash32:
    """H(proofDigest, salt) (P-31)."""
    return h(digest, salt)


def claim_hash(digest: Hash32, claim: Claim) -> Hash32:
    """H(proofDigest, total, predictionsRoot, predictions): Entry.digest after the reveal."""
    return h(digest, *astuple(claim))


def score_claim_digest(digest: Hash32, claim: Claim, chain_id: int, market: Address) -> Hash32:
    """EIP-712 digest of ScoreClaim: what a miner's reveal signature is over (P-41)."""
    return _typed_digest(h(_CLAIM_TYPE_HASH, digest, *astuple(claim)), chain_id, market)


def score_claim_typed_data(digest: Hash32, claim: Claim, chain_id: int, market: Address) -> dict[str, Any]:
    """The full EIP-712 message of ScoreClaim, JSON-ready (bytes as 0x-hex)."""
    message = {
        "proof": _hex(digest),
        "total": claim.total,
        "predictionsRoot": _hex(claim.predictions_root),
        "predictions": _hex(claim.predictions),
    }
    return _typed_data("ScoreClaim", _CLAIM_FIELDS, message, chain_id, market)


def miner_secrets_typed_data(
    task_id: TaskId, round: int, attempt: int, chain_id: int, market: Address
) -> dict[str, Any]:
    """The full EIP-712 message of MinerSecrets, whose signature all of a miner's secrets come from (P-32)."""
    message = {"taskId": task_id, "round": round, "attempt": attempt, "warning": SECRETS_WARNING}
    return _typed_data("MinerSecrets", _SECRETS_FIELDS, message, chain_id, market)


# ---------------------------------------------------------------- disputes and ballots (P-54)


def case_id(task_id: TaskId, round: int, subject: Address) -> Hash32:
    """H(taskId, round, subject): the dispute of a miner's claim, or of the test set if the subject is ZERO_ADDRESS."""
    return h(task_id, round, subject)


def dispute_id(case: Hash32, attempt: int) -> Hash32:
    """H(caseId, attempt): one vote; a repeated one has another id."""
    return h(case, attempt)


def ballot_hash(pool: Address, dispute: Hash32, voter: Address, verdict: Verdict, salt: bytes) -> Hash32:
    """H(pool, disputeId, voter, verdict, salt): what a voter commits to."""
    return h(pool, dispute, voter, verdict, salt)


def sealed_ballot(ballot: Hash32, lock_wei: int) -> Hash32:
    """H(ballot, lockWei): what the pool stores until the ballot is opened."""
    return h(ballot, lock_wei)


def opened_ballot(verdict: Verdict, lock_wei: int) -> Hash32:
    """What the pool stores once a ballot is opened: lockWei and, in the lowest byte, the verdict."""
    return Hash32((lock_wei << 8 | verdict).to_bytes(32, "big"))


def find_verdict(ballot: Hash32, pool: Address, dispute: Hash32, voter: Address, salt: bytes) -> Verdict | None:
    """The verdict a ballot was cast for, from its salt: there are only three to try. None = it has another salt."""
    for verdict in (Verdict.STANDS, Verdict.FALLS, Verdict.UNAVAILABLE):
        if ballot_hash(pool, dispute, voter, verdict, salt) == ballot:
            return verdict
    return None


def ballot_secret_typed_data(dispute: Hash32, chain_id: int, market: Address) -> dict[str, Any]:
    """The full EIP-712 message of BallotSecret, whose signature a ballot's salt comes from."""
    message = {"disputeId": _hex(dispute), "warning": BALLOT_WARNING}
    return _typed_data("BallotSecret", _BALLOT_FIELDS, message, chain_id, market)


# ---------------------------------------------------------------- ledger


def block_hash(header: BlockHeader) -> Hash32:
    """H of all members in order (P-70)."""
    return h(*astuple(header))


def genesis_hash(chain_id: int, registry: Address) -> Hash32:
    """H("DLBC" as bytes32, chainId, registry): what block 0 links to."""
    return h(b"DLBC".ljust(32, b"\0"), chain_id, registry)


# ---------------------------------------------------------------- watermark slots (P-90)


def slot_root(slot_keys: Sequence[bytes]) -> Hash32:
    """Merkle root over 2, 4 or 8 one-time slot keys. Raises BadInput."""
    return _slot_levels(slot_keys)[-1][0]


def slot_path(slot_keys: Sequence[bytes], index: int) -> tuple[Hash32, ...]:
    """Siblings of slot `index`, leaf to root. Raises BadInput."""
    if not 0 <= index < len(slot_keys):
        raise BadInput(f"slot: expected 0 to {len(slot_keys) - 1}, found {index}")
    return tuple(level[(index >> depth) ^ 1] for depth, level in enumerate(_slot_levels(slot_keys)[:-1]))


def verify_slot_path(key: bytes, index: int, path: Sequence[Hash32], root: Hash32) -> bool:
    """True iff `key` is slot `index` under `root`; the bits of index give the sides."""
    if len(key) != 32 or 1 << len(path) not in SLOT_COUNTS or not 0 <= index < 1 << len(path):
        return False
    node = _slot_leaf(key, index)
    for depth, sibling in enumerate(path):
        if len(sibling) != 32:
            return False
        node = _slot_node(sibling, node) if index >> depth & 1 else _slot_node(node, sibling)
    return node == root


def _slot_levels(slot_keys: Sequence[bytes]) -> list[list[Hash32]]:
    if len(slot_keys) not in SLOT_COUNTS:
        raise BadInput(f"slot keys: expected 2, 4 or 8, found {len(slot_keys)}")
    if any(len(key) != 32 for key in slot_keys):
        raise BadInput("slot keys: expected 32 bytes each, found another length")
    levels = [[_slot_leaf(key, index) for index, key in enumerate(slot_keys)]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([_slot_node(below[i], below[i + 1]) for i in range(0, len(below), 2)])
    return levels


def _slot_leaf(key: bytes, index: int) -> Hash32:
    return keccak(b"\x00" + key + index.to_bytes(4, "big"))


def _slot_node(left: Hash32, right: Hash32) -> Hash32:
    return keccak(b"\x01" + left + right)


# ---------------------------------------------------------------- encoding


def _term_words(terms: Terms) -> list[Word]:
    manifest_hash, manifest, workload, *rest = astuple(terms)
    return [manifest_hash, manifest, *workload, *rest]


def _typed_digest(struct_hash: Hash32, chain_id: int, market: Address) -> Hash32:
    return keccak(b"\x19\x01" + domain_separator(chain_id, market) + struct_hash)


def _typed_data(
    primary: str, fields: Sequence[tuple[str, str]], message: dict[str, Any], chain_id: int, market: Address
) -> dict[str, Any]:
    return {
        "types": {"EIP712Domain": _named(_DOMAIN_FIELDS), primary: _named(fields)},
        "primaryType": primary,
        "domain": {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": chain_id,
            "verifyingContract": market,
        },
        "message": message,
    }


def _named(fields: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for kind, name in fields]


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
