"""The test key from the requester's wallet."""

from __future__ import annotations

import pytest
from dlbc.core.errors import BadInput
from dlbc.core.manifest import Shard
from dlbc.core.test_key import data_digest, derive_test_key, task_secrets_typed_data
from dlbc.core.types import Address, Hash32, Locator
from fakes.keys import account

pytestmark = pytest.mark.unit

MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
SHARD = Shard(Locator(bytes(32)), Hash32(b"\x01" * 32), 10, 1)


def key(*, name: str = "requester", data: bytes = b"\x02" * 32, round: int = 0, chain_id: int = 31337) -> bytes:
    """The key of one posting."""
    message = task_secrets_typed_data(Hash32(data), round, chain_id, MARKET)
    return derive_test_key(account(name).sign_typed(message))


def test_derive_test_key__same_wallet_and_data__same_key() -> None:
    """What was lost comes back."""
    assert key() == key()
    assert len(key()) == 32


@pytest.mark.parametrize("other", [{"name": "other"}, {"data": b"\x03" * 32}, {"round": 1}, {"chain_id": 1}])
def test_derive_test_key__anything_else__another_key(other: dict[str, object]) -> None:
    """No other wallet, data, round or chain has this key."""
    assert key(**other) != key()  # type: ignore[arg-type]


def test_data_digest__order_and_content_of_shards__count() -> None:
    """Two packings of the same data are two digests, because every posting packs in a new order."""
    other = Shard(SHARD.locator, Hash32(b"\x04" * 32), 10, 1)
    assert data_digest([SHARD, other]) != data_digest([other, SHARD])


def test_derive_test_key__not_a_signature__refused() -> None:
    """A truncated signature makes no key."""
    with pytest.raises(BadInput, match="expected 65 bytes"):
        derive_test_key(bytes(64))
