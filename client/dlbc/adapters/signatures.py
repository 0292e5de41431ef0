"""Who signed a digest: public-key recovery on secp256k1, off chain."""

from __future__ import annotations

from dlbc.core.errors import VerificationFailed
from dlbc.core.types import Address, Hash32


def recover_signer(digest: Hash32, signature: bytes) -> Address:
    """The address behind a 65-byte signature r ‖ s ‖ v (v 27 or 28) of a digest. Raises VerificationFailed."""
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    if len(signature) != 65 or signature[64] not in (27, 28):
        raise VerificationFailed(f"signature: expected 65 bytes r, s, v with v 27 or 28, found {len(signature)} bytes")
    try:
        key = Signature(signature[:64] + bytes([signature[64] - 27])).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError) as error:
        raise VerificationFailed(f"signature: expected one of this digest, found a malformed one ({error})") from error
    return Address(key.to_checksum_address())
