"""The LedgerLog port on a real chain: a market's log in order, and what its contracts store, in few requests."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.connection import BLOCK
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.core.errors import VerificationFailed
from dlbc.core.events import (
    BlockAppended,
    ClaimNominated,
    ClaimRevealed,
    ClaimStruck,
    LedgerEvent,
    Logged,
    ModelCommitted,
    ModelOpened,
    RoundSettled,
    TaskEnded,
    TaskPosted,
    TestSetReleased,
)
from dlbc.core.types import Address, Hash32, Outcome, Params, TaskId, Timestamp, Winner

_EVENTS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        *(TaskPosted, ModelCommitted, TestSetReleased, ClaimRevealed, ClaimNominated, ModelOpened),
        *(ClaimStruck, RoundSettled, BlockAppended),
    )
}
"""Those that have a class of their name."""
_ENDS = {"TaskCancelled": Outcome.CANCELLED, "TaskVoided": Outcome.VOID, "TaskAborted": Outcome.ABORTED}


class Web3Ledger:
    """The whole ledger of one market, read only."""

    def __init__(self, chain: Web3Chain) -> None:
        self._chain = chain
        self._connection = chain.connection

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        return self._chain.chain_id

    @property
    def market(self) -> Address:
        """The market's address."""
        return self._chain.market

    @property
    def first_block(self) -> int:
        """No event is in an older one."""
        return self._connection.first_block

    def params(self) -> Params:
        """The market's parameters; they never change."""
        return self._chain.params()

    def genesis_hash(self) -> Hash32:
        """What ledger block 0 links to."""
        return self._chain.genesis_hash()

    def head(self) -> tuple[int, Hash32, int]:
        """(blocks, head hash, cumulative difficulty) of the ledger."""
        return self._chain.head()

    def tip(self) -> tuple[int, Hash32]:
        """Number and hash of the chain's newest block."""
        found = self._block("latest")
        if found is None:
            raise self._connection.rpc.malformed(BLOCK, "a block")
        return found

    def hash_of(self, number: int) -> Hash32 | None:
        """Hash of a block of the chain; None if there is none."""
        found = self._block(hex(number))
        return None if found is None else found[1]

    def events(self, first: int, last: int) -> Iterator[Logged]:
        """Of the chain's blocks first … last, in the order in which they happened, read as they are consumed."""
        chain = self._chain
        market, registry = abi.load("TaskMarket").events, abi.load("ModelRegistry").events
        kinds = {
            chain.market: [market[name] for name in (*_EVENTS, *_ENDS) if name in market],
            chain.registry: [registry["BlockAppended"]],
        }
        for kind, values in self._connection.mixed_logs(kinds, max(first, self.first_block), last):
            yield Logged(values["block_number"], _event(kind.name, values))

    def block_hashes(self, heights: Sequence[int]) -> list[Hash32]:
        """Stored hashes of ledger blocks that exist."""
        calls = [(height,) for height in heights]
        return [
            Hash32(found) for found in self._connection.views("ModelRegistry", self._chain.registry, "blockHash", calls)
        ]

    def winners(self, places: Sequence[tuple[TaskId, int]]) -> list[Winner]:
        """Stored winners of rounds."""
        return self._connection.views("ModelRegistry", self._chain.registry, "winnerOf", places)

    def block_times(self, numbers: Collection[int]) -> dict[int, Timestamp]:
        """When these blocks of the chain were made."""
        return self._connection.block_times(numbers)

    def confirms(self, claim: ClaimRevealed) -> bool | None:
        """What a miner that is a contract says of its signature now (ERC-1271); None: it is no contract."""
        if not self._connection.has_code(claim.proof.miner):
            return None
        return self._chain.verify_proof(claim.proof, claim.claim, claim.signature)

    def _block(self, tag: str) -> tuple[int, Hash32] | None:
        connection = self._connection
        block = connection.block(tag)
        if block is None:
            return None
        number = connection.rpc.as_quantity(BLOCK, block.get("number"))
        digest = connection.rpc.as_data(BLOCK, block.get("hash"))
        if len(digest) != codec.WORD:
            raise VerificationFailed(f"{connection.rpc.name} tells a block hash of {len(digest)} bytes, not 32")
        return number, Hash32(digest)


def _event(name: str, values: Mapping[str, Any]) -> LedgerEvent:
    if name in _ENDS:
        return TaskEnded(values["task_id"], _ENDS[name])
    event: LedgerEvent = codec.build(_EVENTS[name], values)
    return event
