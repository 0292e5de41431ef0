"""Accounts that sign like a wallet, from a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlbc.adapters.keys import KeystoreKeys
from dlbc.core.hashing import keccak
from eth_account import Account


def account(name: str) -> KeystoreKeys:
    """The account of a name; the same every time."""
    return KeystoreKeys(Account.from_key(keccak(name.encode())))


class MoodyKeys:
    """A wallet that signs secrets differently each time, as some hardware does."""

    def __init__(self, keys: KeystoreKeys) -> None:
        self._keys = keys
        self._signed = 0

    @property
    def address(self) -> Any:
        return self._keys.address

    def sign_typed(self, typed_data: Mapping[str, Any]) -> bytes:
        """Secrets are signed differently each time; claims as they should be."""
        signature = self._keys.sign_typed(typed_data)
        if typed_data["primaryType"] == "ScoreClaim":
            return signature
        self._signed += 1
        return self._signed.to_bytes(32, "big") + signature[32:]

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        return self._keys.sign_transaction(transaction)
