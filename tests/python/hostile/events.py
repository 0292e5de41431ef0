"""Fields of events that strangers choose, or that a node tells otherwise: an honest claim is examined all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dlbc.core.events import ClaimRevealed, ModelOpened, SlotRevealed
from dlbc.core.hashing import keccak
from dlbc.core.types import ZERO_ADDRESS, Address, Hash32, TaskId
from fakes.chain import FakeMarket
from fakes.keys import account

from hostile.case import Case
from hostile.stage import Entry, Play, Stage, honest_model, miner_address

AREA = "event"
STANDS = "stands"
UNSIGNED = "none: signature (contract), signature (off chain)"
NO_MARK = "falls: no-watermark"
LARGEST = 2**40 - 1
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_Damage = Callable[[FakeMarket, TaskId], None]


def cases() -> list[Case]:
    """What decides nothing changes nothing; what is wrong is found, and nothing ends the examination."""
    changed = {
        UNSIGNED: {name: _revealed(signature=value) for name, value in SIGNATURES.items()},
        STANDS: {**OTHERS, **SLOTS},
        NO_MARK: {name: _opened(**fields) for name, fields in OPENINGS.items()},
    }
    found = [
        Case(AREA, name, expected, _examined(damage))
        for expected, every in changed.items()
        for name, damage in every.items()
    ]
    unopened = _examined(_revealed(salt=bytes(32)))
    salt = Case(AREA, "another salt than was committed to", "none: commitment opens", unopened)
    key = Case(AREA, "another sealing key", "falls: hash", _examined(_opened(seal_key=keccak(b"other"))))
    return [*found, salt, key]


def _examined(damage: _Damage) -> Callable[[Stage], str]:
    def run(stage: Stage) -> str:
        play: Play = stage.play()
        play.open(Entry())
        damage(play.world.market, play.task_id)
        return play.said_of_its_claim(stage.scorer)

    return run


def _revealed(**fields: object) -> _Damage:
    def change(market: FakeMarket, task_id: TaskId) -> None:
        told: list[ClaimRevealed] = market.revealed[task_id, 0]
        told[:] = [replace(event, **fields) for event in told]  # type: ignore[arg-type]

    return change


def _opened(**fields: object) -> _Damage:
    def change(market: FakeMarket, task_id: TaskId) -> None:
        told: list[ModelOpened] = market.opened[task_id, 0]
        told[:] = [replace(event, **fields) for event in told]  # type: ignore[arg-type]

    return change


def _slots(*slots: tuple[int, bytes], model: bytes | None = None, miner: Address | None = None) -> _Damage:
    """Published for a model; of the claim itself, or of another."""

    def change(market: FakeMarket, task_id: TaskId) -> None:
        claim = market.revealed[task_id, 0][0]
        model_hash = claim.proof.model_hash if model is None else Hash32(model)
        who = miner_address() if miner is None else miner
        for slot, key in slots:
            market.slots.append(SlotRevealed(model_hash, task_id, 0, who, slot, key, LARGEST))

    return change


def _junk_reveals(market: FakeMarket, task_id: TaskId) -> None:
    """Of accounts that never committed."""
    (claim,) = market.revealed[task_id, 0]
    strangers = [Address(f"0x{number:040x}") for number in range(1, 101)]
    market.revealed[task_id, 0] += [
        replace(claim, proof=replace(claim.proof, miner=miner), signature=b"", qualifies=True) for miner in strangers
    ]


def _opened_by_nobody(market: FakeMarket, task_id: TaskId) -> None:
    opening = market.opened[task_id, 0][0]
    market.opened[task_id, 0] += [replace(opening, miner=ZERO_ADDRESS, slot_path=(), slot_key=bytes(32))]
    market.opened[TaskId(10**9), 65_535] = [replace(opening, task_id=TaskId(10**9), round=65_535)]


SIGNATURES: dict[str, bytes] = {
    "a signature of no bytes": b"",
    "a signature of 64 bytes": bytes(64),
    "a signature of 66 bytes": bytes(66),
    "a signature of zeros": bytes(64) + b"\x1b",
    "a signature of ones": b"\xff" * 64 + b"\x1c",
    "a signature whose r is the order of the curve": ORDER.to_bytes(32, "big") + bytes(31) + b"\x01\x1b",
    "a signature of another version": b"\x11" * 64 + b"\x00",
    "a signature of a megabyte": b"\x1b" * 2**20,
    "a model in the place of a signature": honest_model()[:65],
}
OTHERS: dict[str, _Damage] = {
    "a hundred reveals of accounts that never committed": _junk_reveals,
    "an opening by nobody, and one of a task that there is not": _opened_by_nobody,
}
OPENINGS: dict[str, dict[str, object]] = {
    "a slot path of no steps": {"slot_path": ()},
    "a slot path of a thousand steps": {"slot_path": (Hash32(keccak(b"step")),) * 1_000},
    "a slot key of zeros": {"slot_key": bytes(32)},
}
SLOTS: dict[str, _Damage] = {
    "a slot that no model has": _slots((2**32 - 1, keccak(b"slot"))),
    "the claim's own slot, a thousand times": _slots(*[(1, keccak(b"slot 1"))] * 1_000),
    "a slot key of nothing but zeros": _slots((1, bytes(32))),
    "slots of a model that was never settled": _slots((0, bytes(32)), (1, bytes(32)), model=keccak(b"never")),
    "a slot of a model that is no hash": _slots((1, keccak(b"slot")), model=bytes(32), miner=ZERO_ADDRESS),
    "another's slot with this claim's hash": _slots((1, keccak(b"slot 1")), miner=account("thief").address),
}
