"""Public-key recovery off chain."""

from __future__ import annotations

import pytest
from dlbc.adapters.signatures import recover_signer
from dlbc.core.errors import VerificationFailed
from dlbc.core.proofs import score_claim_digest, score_claim_typed_data
from dlbc.core.types import Address, Claim, Hash32, Locator
from fakes.keys import account
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
PROOF = Hash32(b"\x07" * 32)
CLAIM = Claim(347, Hash32(b"\x01" * 32), Locator(b"\x02" * 32))


def test_recover_signer__a_claim__is_the_wallet_that_signed_it() -> None:
    """Digest and typed data are the same message."""
    keys = account("miner")
    signature = keys.sign_typed(score_claim_typed_data(PROOF, CLAIM, 31337, MARKET))
    assert recover_signer(score_claim_digest(PROOF, CLAIM, 31337, MARKET), signature) == keys.address
    assert recover_signer(score_claim_digest(PROOF, CLAIM, 1, MARKET), signature) != keys.address


@given(st.binary(max_size=80))
def test_recover_signer__any_bytes__an_address_or_one_sentence(noise: bytes) -> None:
    """What strangers send as a signature never raises anything else."""
    try:
        told = recover_signer(PROOF, noise)
    except VerificationFailed as error:
        told = Address(str(error))
    assert told.startswith(("0x", "signature: expected"))


@pytest.mark.parametrize("v", [0, 1, 26, 29])
def test_recover_signer__another_v__refused(v: int) -> None:
    """Only 27 and 28 are recovery ids, as in the contract."""
    with pytest.raises(VerificationFailed, match="v 27 or 28"):
        recover_signer(PROOF, bytes([1]) * 64 + bytes([v]))
