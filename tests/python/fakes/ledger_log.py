"""The log of a FakeMarket in the order in which it happened, as a node tells it that may be made to lie."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from dlbc.core import proofs
from dlbc.core.events import BlockAppended, ClaimNominated, ClaimRevealed, LedgerEvent, Logged, TaskEnded
from dlbc.core.hashing import keccak
from dlbc.core.types import Address, Hash32, Outcome, Params, TaskId, Timestamp, Winner
from fakes.chain import CHAIN_ID, FakeChain, FakeMarket

_ENDS = {"TaskCancelled": Outcome.CANCELLED, "TaskVoided": Outcome.VOID, "TaskAborted": Outcome.ABORTED}

Alter = Callable[[LedgerEvent], LedgerEvent | None]
"""What a node tells instead of an event; None: it hides it."""


@dataclass
class FakeLedgerLog:
    """ports.LedgerLog. One transaction is one block of the chain."""

    market_state: FakeMarket
    alter: Alter = lambda event: event
    wallets: dict[Address, bool] = field(default_factory=dict)
    """Miners that are contracts, and whether they confirm their signatures."""
    forked_from: int = 2**63
    """Blocks of the chain from this number on are others than they were."""
    ranges: list[tuple[int, int]] = field(default_factory=list)
    """That were read."""
    first_block: int = 1

    @property
    def chain_id(self) -> int:
        return CHAIN_ID

    @property
    def market(self) -> Address:
        return self.market_state.address

    def params(self) -> Params:
        return self.market_state.params

    def genesis_hash(self) -> Hash32:
        return self.market_state.genesis

    def head(self) -> tuple[int, Hash32, int]:
        return FakeChain(self.market_state).head()

    def tip(self) -> tuple[int, Hash32]:
        number = len(self.market_state.transactions)
        return number, self._hash(number)

    def hash_of(self, number: int) -> Hash32 | None:
        return self._hash(number) if 0 <= number <= len(self.market_state.transactions) else None

    def events(self, first: int, last: int) -> Iterator[Logged]:
        self.ranges.append((first, last))
        for logged in self._all():
            event = self.alter(logged.event)
            if first <= logged.block_number <= last and event is not None:
                yield Logged(logged.block_number, event)

    def block_hashes(self, heights: Sequence[int]) -> list[Hash32]:
        return [FakeChain(self.market_state).block_hash(height) for height in heights]

    def winners(self, places: Sequence[tuple[TaskId, int]]) -> list[Winner]:
        return [FakeChain(self.market_state).winner(*place) for place in places]

    def block_times(self, numbers: Collection[int]) -> dict[int, Timestamp]:
        return {number: self.market_state.times[number] for number in numbers}

    def confirms(self, claim: ClaimRevealed) -> bool | None:
        return self.wallets.get(claim.proof.miner)

    def _hash(self, number: int) -> Hash32:
        return keccak(f"{number} {self.forked_from if number >= self.forked_from else ''}".encode())

    def _all(self) -> list[Logged]:
        state, told = self.market_state, []
        seen: dict[tuple[str, int, int | None], int] = {}
        happened = [event for task_id in sorted(state.happened) for event in state.happened[task_id]]
        blocks = iter(state.blocks)
        tasks = {id(event): task_id for task_id, events in state.happened.items() for event in events}
        for event in sorted(happened, key=lambda event: event.block_number):
            task_id, index = TaskId(tasks[id(event)]), event.round or 0
            count = seen.get((event.name, task_id, event.round), 0)
            seen[event.name, task_id, event.round] = count + 1
            lists = {
                "TaskPosted": lambda task=task_id: [state.posted[task]],
                "ModelCommitted": lambda key=(task_id, index): state.committed[key],
                "TestSetReleased": lambda key=(task_id, index): [state.released[key]],
                "ClaimRevealed": lambda key=(task_id, index): state.revealed[key],
                "ModelOpened": lambda key=(task_id, index): state.opened[key],
                "ClaimStruck": lambda key=(task_id, index): state.struck[key],
            }
            if event.name in lists:
                told.append(Logged(event.block_number, lists[event.name]()[count]))
            elif event.name == "ClaimNominated":
                told.append(Logged(event.block_number, ClaimNominated(task_id, index, event.account)))
            elif event.name in _ENDS:
                told.append(Logged(event.block_number, TaskEnded(task_id, _ENDS[event.name])))
            elif event.name == "RoundSettled":
                (settled,) = (each for each in state.settled[task_id] if each.round == index)
                header = next(blocks)
                told.append(Logged(event.block_number, settled))
                appended = BlockAppended(header.height, proofs.block_hash(header), task_id, header)
                told.append(Logged(event.block_number, appended))
        return told
