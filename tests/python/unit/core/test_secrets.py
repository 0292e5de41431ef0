"""All secrets come from one signature, show nowhere, and bring a lost disk's proof back."""

from __future__ import annotations

import hashlib
import hmac
import traceback
from collections.abc import Callable
from dataclasses import replace

import pytest
from dlbc.core import canonical
from dlbc.core.errors import BadInput, DlbcError, VerificationFailed
from dlbc.core.secrets import (
    MAX_RECOVERY_BYTES,
    MinerSecrets,
    Recovery,
    ballot_salt,
    decrypt_recovery,
    derive,
    encrypt_recovery,
)
from dlbc.core.types import ZERO_HASH, Address, Hash32, Locator, TaskId, TrainingProof
from hypothesis import given
from hypothesis import strategies as st
from nacl.secret import SecretBox

pytestmark = pytest.mark.unit

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
R = bytes(range(32))
S = (12345).to_bytes(32, "big")
SECRETS = derive(R + S + b"\x1b")
PROOF = TrainingProof(
    task_id=TaskId(7),
    round=1,
    miner=Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    model_hash=Hash32(b"\1" * 32),
    sealed_model=Locator(b"\2" * 32),
    seal_key_hash=Hash32(b"\3" * 32),
    watermark_root=Hash32(b"\4" * 32),
    parent_model=ZERO_HASH,
)
RECOVERY = Recovery(attempt=3, proof=PROOF)


def expanded(material: bytes, label: str) -> bytes:
    """HKDF-SHA256 of RFC 5869 with an empty salt and one block, from hmac alone."""
    prk = hmac.new(bytes(32), material, hashlib.sha256).digest()
    return hmac.new(prk, label.encode() + b"\1", hashlib.sha256).digest()


def every_secret(secrets: MinerSecrets) -> list[bytes]:
    """All values that must never show."""
    single = [secrets.prk, secrets.salt, secrets.seal_key, secrets.recovery_key, secrets.init_key]
    return [*single, *secrets.slot_keys(8)]


@pytest.mark.parametrize(
    ("label", "get"),
    [
        ("dlbc/v1/salt", lambda secrets: secrets.salt),
        ("dlbc/v1/seal", lambda secrets: secrets.seal_key),
        ("dlbc/v1/recovery", lambda secrets: secrets.recovery_key),
        ("dlbc-wm/v1/init", lambda secrets: secrets.init_key),
        ("dlbc-wm/v1/slot/0", lambda secrets: secrets.slot_key(0)),
        ("dlbc-wm/v1/slot/7", lambda secrets: secrets.slot_keys(8)[7]),
    ],
)
def test_derive__signature__each_label_is_hkdf_of_r_and_s(label: str, get: Callable[[MinerSecrets], bytes]) -> None:
    """P-32: HKDF-SHA256 over r ‖ s, one label each."""
    assert expanded(R + S, label) == get(SECRETS)


def test_derive__one_signature__thirteen_different_secrets() -> None:
    """No two secrets are equal, so revealing one tells nothing about another."""
    assert len(set(every_secret(SECRETS))) == 13


def test_derive__v_or_high_s__makes_no_difference() -> None:
    """Wallets that write v or s the other way give the same secrets."""
    high = (ORDER - 12345).to_bytes(32, "big")

    assert SECRETS == derive(R + S + b"\0") == derive(R + high + b"\x1c")


def test_ballot_salt__signature__hkdf_of_r_and_s_under_its_own_label() -> None:
    """P-54: a wallet that signs again finds the salt again; no miner's secret equals it."""
    salt = ballot_salt(R + S + b"\x1b")

    assert expanded(R + S, "dlbc/v1/ballot") == salt
    assert salt == ballot_salt(R + (ORDER - 12345).to_bytes(32, "big") + b"\x1c")
    assert salt not in every_secret(SECRETS)
    assert expanded(bytes(32), "dlbc/v1/ballot") == ballot_salt(bytes(32))


@pytest.mark.parametrize("signature", [b"", bytes(64), R + ORDER.to_bytes(32, "big") + b"\x1b"])
def test_ballot_salt__not_a_signature__refused(signature: bytes) -> None:
    """A salt that could not be found again is never used."""
    with pytest.raises(BadInput, match="signature: expected"):
        ballot_salt(signature)


def test_derive__random_bytes_instead__another_material() -> None:
    """A wallet whose signatures differ uses 32 random bytes (P-32)."""
    assert expanded(R, "dlbc/v1/salt") == derive(R).salt


@pytest.mark.parametrize(
    "signature", [b"", bytes(31), bytes(64), bytes(66), R + bytes(32) + b"\x1b", R + b"\xff" * 32 + b"\x1b"]
)
def test_derive__no_signature__refused(signature: bytes) -> None:
    """Other lengths and an s out of range are no signature; the message does not show it."""
    with pytest.raises(BadInput, match="signature: expected") as caught:
        derive(signature)
    assert R.hex() not in str(caught.value)


def test_miner_secrets__shown_in_any_way__shows_nothing() -> None:
    """repr, str, format and a traceback never hold a secret."""
    try:
        raise ValueError(SECRETS)
    except ValueError as error:
        shown = repr(SECRETS) + str(SECRETS) + f"{SECRETS}" + "".join(traceback.format_exception(error))

    for secret in every_secret(SECRETS):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


# ---------------------------------------------------------------- recovery


def test_recovery__own_key__comes_back() -> None:
    """A miner with only its wallet gets attempt and proof back (P-30)."""
    blob = encrypt_recovery(SECRETS.recovery_key, RECOVERY)

    assert decrypt_recovery(SECRETS.recovery_key, blob) == RECOVERY
    assert len(blob) <= MAX_RECOVERY_BYTES


def test_recovery__largest_values__come_back() -> None:
    """The bounds of the types fit."""
    largest = Recovery(2**32 - 1, replace(PROOF, task_id=TaskId(2**256 - 1), round=2**16 - 1))
    blob = encrypt_recovery(SECRETS.recovery_key, largest)

    assert largest == decrypt_recovery(SECRETS.recovery_key, blob)


def test_recovery__same_twice__differs_and_hides_the_proof() -> None:
    """Nobody learns from the blob who trained what."""
    first, second = (encrypt_recovery(SECRETS.recovery_key, RECOVERY) for _ in range(2))

    assert first != second
    assert PROOF.model_hash.hex().encode() not in first


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_recovery__one_bit_flipped__refused(position: int, bit: int) -> None:
    """The blob is authenticated."""
    blob = bytearray(encrypt_recovery(SECRETS.recovery_key, RECOVERY))
    blob[position % len(blob)] ^= 1 << bit

    with pytest.raises(VerificationFailed, match="recovery blob"):
        decrypt_recovery(SECRETS.recovery_key, bytes(blob))


@pytest.mark.parametrize("data", [b"", bytes(39), bytes(40), bytes(MAX_RECOVERY_BYTES + 1)])
def test_recovery__no_blob__refused(data: bytes) -> None:
    """Short, forged and oversized blobs are refused in one sentence."""
    with pytest.raises(DlbcError, match="recovery blob: expected"):
        decrypt_recovery(SECRETS.recovery_key, data)


@pytest.mark.parametrize(
    "change",
    [
        {"attempt": -1},
        {"attempt": 2**32},
        {"dlbc_recovery": 2},
        {"more": 1},
        {"miner": 5},
        {"miner": "0x12"},
        {"round": "1"},
        {"model_hash": "12"},
        {"task_id": 2**256},
    ],
)
def test_recovery__malformed_content__refused(change: dict[str, object]) -> None:
    """Even under the right key the content is checked."""
    plain = SecretBox(SECRETS.recovery_key).decrypt(encrypt_recovery(SECRETS.recovery_key, RECOVERY))
    value = {**canonical.from_bytes(plain, what="blob", max_bytes=4096), **change}
    blob = SecretBox(SECRETS.recovery_key).encrypt(canonical.to_bytes(value))

    with pytest.raises(BadInput, match=r"recovery blob: .*expected"):
        decrypt_recovery(SECRETS.recovery_key, bytes(blob))
