"""The key that seals a test set comes from the requester's wallet, so that a lost disk does not cost the bond.

testKey = HKDF-Expand("dlbc/v1/test") of HKDF-Extract(SHA-256, r ‖ s) of the requester's EIP-712 signature over
TaskSecrets(bytes32 data, uint16 round, string warning). `data` is the digest of the training shards, which the public
manifest lists, so the wallet and the chain are enough to find the key again. The requester packs the shards in a fresh
random order for every posting: no two postings share a key, even for the same data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dlbc.core.errors import BadInput
from dlbc.core.hashing import sha256
from dlbc.core.manifest import Shard
from dlbc.core.types import Address, Hash32

WARNING = (
    "Whoever holds this signature can read this task's test set before its release. "
    "Sign it only in your own DLBC requester, never on a web site."
)


def data_digest(shards: Sequence[Shard]) -> Hash32:
    """sha256 of the shards' sha256 digests in order: what a test key is bound to."""
    return sha256(b"".join(shard.sha256 for shard in shards))


def task_secrets_typed_data(data: Hash32, round: int, chain_id: int, market: Address) -> dict[str, Any]:
    """The full EIP-712 message of TaskSecrets."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "TaskSecrets": [
                {"name": "data", "type": "bytes32"},
                {"name": "round", "type": "uint16"},
                {"name": "warning", "type": "string"},
            ],
        },
        "primaryType": "TaskSecrets",
        "domain": {"name": "DLBC", "version": "1", "chainId": chain_id, "verifyingContract": market},
        "message": {"data": "0x" + data.hex(), "round": round, "warning": WARNING},
    }


def derive_test_key(signature: bytes) -> bytes:
    """32 bytes from a 65-byte signature r ‖ s ‖ v with low s, or from 32 random bytes. Raises BadInput."""
    if len(signature) not in (32, 65):
        raise BadInput(f"signature: expected 65 bytes (or 32 random ones), found {len(signature)}")
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"dlbc/v1/test").derive(signature[:64])
