"""Signing, and telling who signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dlbc.core.types import Address, Hash32


class Keys(Protocol):
    """One account's signing key. The key itself never leaves the adapter."""

    @property
    def address(self) -> Address: ...

    def sign_typed(self, typed_data: Mapping[str, Any]) -> bytes:
        """EIP-712 signature of a full typed-data message; 65 bytes r ‖ s ‖ v, s low, v in {27, 28}."""
        ...

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Raw signed transaction."""
        ...


RecoverSigner = Callable[[Hash32, bytes], Address]
"""Whose signature of a digest it is. Raises VerificationFailed."""
