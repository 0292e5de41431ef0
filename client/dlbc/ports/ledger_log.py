"""A market's log and what its contracts store, for whoever verifies the whole ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from dlbc.core.events import ClaimRevealed, Logged
from dlbc.core.types import Address, Hash32, Params, TaskId, Timestamp, Winner


class LedgerLog(Protocol):
    """What verifying a whole ledger takes: one market's log in order, and what its contracts store; nothing is sent."""

    @property
    def chain_id(self) -> int: ...
    @property
    def market(self) -> Address: ...
    @property
    def first_block(self) -> int:
        """The chain's block that the market was deployed in: no event is older."""
        ...

    def params(self) -> Params: ...
    def genesis_hash(self) -> Hash32: ...
    def head(self) -> tuple[int, Hash32, int]:
        """(blocks, head hash, cumulative difficulty) of the ledger."""
        ...

    def tip(self) -> tuple[int, Hash32]:
        """Number and hash of the chain's newest block."""
        ...

    def hash_of(self, number: int) -> Hash32 | None:
        """Hash of a block of the chain; None if there is none."""
        ...

    def events(self, first: int, last: int) -> Iterator[Logged]:
        """Of the chain's blocks first … last, in the order in which they happened; read as they are consumed."""
        ...

    def block_hashes(self, heights: Sequence[int]) -> list[Hash32]:
        """Stored hashes of ledger blocks. Raises ContractRefused for one that is not stored."""
        ...

    def winners(self, places: Sequence[tuple[TaskId, int]]) -> list[Winner]:
        """Stored winners of (task, round)."""
        ...

    def block_times(self, numbers: Collection[int]) -> dict[int, Timestamp]: ...
    def confirms(self, claim: ClaimRevealed) -> bool | None:
        """What a miner that is a contract says now of the signature of its revealed claim (ERC-1271); None: it is no
        contract.
        """
        ...
