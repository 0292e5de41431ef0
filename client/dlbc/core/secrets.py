"""Secrets derived from wallet signatures: a miner's (P-32), the salt of an auditor's ballot (P-54); and the recovery
blob of a miner's lost disk (P-30).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from dlbc.core import canonical
from dlbc.core.errors import BadInput, VerificationFailed
from dlbc.core.hashing import is_address
from dlbc.core.types import Address, Hash32, Locator, TaskId, TrainingProof

MAX_RECOVERY_BYTES = 4096
MAX_ATTEMPT = 2**32 - 1

_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141  # of secp256k1
_PROOF_DIGESTS = (
    "model_hash",
    "sealed_model",
    "seal_key_hash",
    "watermark_root",
    "parent_model",
)
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class MinerSecrets:
    """The secrets of one attempt at one round; 32 bytes each. The repr shows none of them."""

    prk: bytes

    def __repr__(self) -> str:
        """Never shows a value."""
        return "MinerSecrets(…)"

    @property
    def salt(self) -> bytes:
        """Opens the commitment."""
        return self._expand("dlbc/v1/salt")

    @property
    def seal_key(self) -> bytes:
        """Seals the model."""
        return self._expand("dlbc/v1/seal")

    @property
    def recovery_key(self) -> bytes:
        """Seals the recovery blob."""
        return self._expand("dlbc/v1/recovery")

    @property
    def init_key(self) -> bytes:
        """Seeds the weight initialisation."""
        return self._expand("dlbc-wm/v1/init")

    def slot_key(self, k: int) -> bytes:
        """Watermark key of slot k."""
        return self._expand(f"dlbc-wm/v1/slot/{k}")

    def slot_keys(self, count: int) -> tuple[bytes, ...]:
        """Watermark keys of slots 0 .. count - 1."""
        return tuple(self.slot_key(k) for k in range(count))

    def _expand(self, label: str) -> bytes:
        return _expand(self.prk, label)


def derive(signature: bytes) -> MinerSecrets:
    """HKDF-Extract over r ‖ s (s taken low) of a MinerSecrets signature of 65 bytes, or over 32 random bytes.

    The random bytes serve wallets whose signatures differ from time to time (P-32). Raises BadInput.
    """
    return MinerSecrets(_extract(signature))


def ballot_salt(signature: bytes) -> bytes:
    """32 bytes that seal one ballot, from a BallotSecret signature of 65 bytes, or from 32 random bytes (P-54).

    An auditor that lost its disk signs again and finds its verdict with proofs.find_verdict. Raises BadInput.
    """
    return _expand(_extract(signature), "dlbc/v1/ballot")


def _extract(signature: bytes) -> bytes:
    if len(signature) == 65:
        s = int.from_bytes(signature[32:64], "big")
        if not 0 < s < _ORDER:
            raise BadInput("signature: expected s from 1 to the curve's order, found another value")
        material = signature[:32] + min(s, _ORDER - s).to_bytes(32, "big")
    elif len(signature) == _KEY_BYTES:
        material = signature
    else:
        raise BadInput(f"signature: expected 65 bytes (or 32 random ones), found {len(signature)}")
    extract = HMAC(bytes(32), SHA256())
    extract.update(material)
    return extract.finalize()


def _expand(prk: bytes, label: str) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=_KEY_BYTES, info=label.encode()).derive(prk)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a miner that lost its disk needs besides its wallet."""

    attempt: int
    proof: TrainingProof


def encrypt_recovery(recovery_key: bytes, recovery: Recovery) -> bytes:
    """The blob whose locator commit() emits; only the miner's own key opens it. Two runs differ (random nonce)."""
    proof = recovery.proof
    plain = canonical.to_bytes(
        {
            "dlbc_recovery": 1,
            "attempt": recovery.attempt,
            "task_id": proof.task_id,
            "round": proof.round,
            "miner": proof.miner,
            **{name: getattr(proof, name).hex() for name in _PROOF_DIGESTS},
        }
    )
    return bytes(SecretBox(recovery_key).encrypt(plain))


def decrypt_recovery(recovery_key: bytes, data: bytes) -> Recovery:
    """The inverse. Raises VerificationFailed for another key or changed bytes, BadInput for a malformed content."""
    what = "recovery blob"
    if len(data) > MAX_RECOVERY_BYTES:
        raise BadInput(f"{what}: expected at most {MAX_RECOVERY_BYTES} bytes, found {len(data)}")
    try:
        plain = SecretBox(recovery_key).decrypt(data)
    except (CryptoError, ValueError) as error:
        raise VerificationFailed(f"{what}: expected one that this key sealed, found another") from error
    value = canonical.from_bytes(plain, what=what, max_bytes=MAX_RECOVERY_BYTES)
    known = {"dlbc_recovery", "attempt", "task_id", "round", "miner", *_PROOF_DIGESTS}
    canonical.table(value, known, what=what)
    canonical.whole(value["dlbc_recovery"], 1, 1, what=f"{what}: dlbc_recovery")
    miner = value["miner"]
    if not isinstance(miner, str) or not is_address(miner):
        raise BadInput(f"{what}: miner: expected an address, found {str(miner)[:60]!r}")
    digests = {name: canonical.digest(value[name], what=f"{what}: {name}") for name in _PROOF_DIGESTS}
    proof = TrainingProof(
        task_id=TaskId(canonical.whole(value["task_id"], 0, canonical.MAX_INT, what=f"{what}: task_id")),
        round=canonical.whole(value["round"], 0, 2**16 - 1, what=f"{what}: round"),
        miner=Address(miner),
        model_hash=Hash32(digests["model_hash"]),
        sealed_model=Locator(digests["sealed_model"]),
        seal_key_hash=Hash32(digests["seal_key_hash"]),
        watermark_root=Hash32(digests["watermark_root"]),
        parent_model=Hash32(digests["parent_model"]),
    )
    return Recovery(canonical.whole(value["attempt"], 0, MAX_ATTEMPT, what=f"{what}: attempt"), proof)
