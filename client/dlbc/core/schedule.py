"""Which tasks a miner starts now, on which device, and in which order it does others; for every task, why.

The market's rank (P-81) is proportional to bounty / difficulty. A miner replaces the difficulty, which stands for
everybody's work, by the seconds that its own devices need; then it fills its devices with what pays best a second, as
far as deadlines (with a margin), money and memory allow. Whole numbers only: the same facts give the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dlbc.core.types import RankedTask, TaskId, Timestamp, Wei
from dlbc.core.units import format_amount, format_duration

START_SECONDS = 5
"""Starting a training process, sealing and sending the commit."""
MARGIN_PARTS = 4
"""A quarter of the estimate must be left over at the deadline."""
QUEUE_LENGTH = 32
"""Tasks planned for one device; what comes after them is planned once they are done."""
ASSUMED_OPERATIONS = {"cuda": 10**12, "cpu": 2 * 10**10}
"""A second, until this machine has trained something: a small GPU's, and one processor core's."""
ASSUMED_DOWNLOAD = 2**20
"""Bytes a second, until this machine has downloaded something."""
LONG_SECONDS = 30
"""A training this long is not mostly overhead: it may show a device to be slower than assumed."""

Speeds = Mapping[tuple[str, str], int]
"""Operations a second by (model family, device)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A task in Training and what it takes."""

    ranked: RankedTask
    deposit_wei: Wei
    family: str
    operations: int
    traffic_bytes: int  # to fetch and to upload
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Device:
    """Where one training at a time runs; free_at: when, as far as is known; not after now = it is free."""

    name: str
    free_at: Timestamp


@dataclass(frozen=True, slots=True)
class Means:
    """What this miner has at one moment."""

    now: Timestamp
    devices: tuple[Device, ...]
    balance_wei: int
    promised_wei: int = 0  # deposits and gas that begun entries will still take from the balance
    at_risk_wei: int = 0  # deposits in the market, and those promised
    most_at_risk_wei: int | None = None  # the operator's limit
    gas_wei: int = 0  # kept for the transactions of one entry
    memory_bytes: int | None = None  # of the machine; None = not known
    memory_used: int = 0  # by running trainings
    speeds: Speeds = field(default_factory=dict)
    download: int = ASSUMED_DOWNLOAD


@dataclass(frozen=True, slots=True)
class Choice:
    """A task this miner does: when it starts on which device, and why."""

    task_id: TaskId
    device: str
    starts_at: Timestamp
    seconds: int
    deposit_wei: Wei
    why: str


@dataclass(frozen=True, slots=True)
class Passed:
    """A task this miner leaves alone for now."""

    task_id: TaskId
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What starts now (one task a device at most), what follows, and what is left alone."""

    start: tuple[Choice, ...] = ()
    queue: tuple[Choice, ...] = ()
    passed: tuple[Passed, ...] = ()


@dataclass(slots=True)
class _Lane:
    """One device's tasks in order."""

    device: Device
    offers: list[Offer] = field(default_factory=list)


def speed_of(speeds: Speeds, family: str, device: str) -> int:
    """Operations a second: measured, else the slowest that was measured on the device, else assumed.

    A group of devices is assumed to be as fast as one of them until it has shown better.
    """
    if (family, device) in speeds:
        return max(1, speeds[family, device])
    assumed = ASSUMED_OPERATIONS["cuda" if device.startswith("cuda") else "cpu"]
    return max(1, min((found for (_, where), found in speeds.items() if where == device), default=assumed))


def seconds_needed(offer: Offer, device: str, means: Means) -> int:
    """To fetch, train, seal and upload."""
    training = -(-offer.operations // speed_of(means.speeds, offer.family, device))
    return START_SECONDS + training + -(-offer.traffic_bytes // max(1, means.download))


def with_margin(seconds: int) -> int:
    """How long before a deadline a training of so many seconds has to begin."""
    return seconds + -(-seconds // MARGIN_PARTS)


def worth(offer: Offer, seconds: int) -> int:
    """The market's rank with its difficulty replaced by the seconds needed here."""
    return offer.ranked.rank * offer.ranked.difficulty // max(1, seconds)


def plan(offers: Sequence[Offer], means: Means) -> Plan:
    """Best first; a later one moves ahead only where it would else be too late and nothing before it gets too late."""
    lanes = [_Lane(device) for device in means.devices]
    passed: list[Passed] = []
    promised, at_risk = means.promised_wei, means.at_risk_wei
    for offer in sorted(offers, key=lambda offer: _order(offer, means)):
        why_not = _refusal(offer, means, promised, at_risk)
        place = None if why_not else _place(offer, lanes, means)
        if place is None:
            passed.append(Passed(offer.ranked.task_id, why_not or _no_place(offer, lanes, means)))
            continue
        lane, position = place
        lane.offers.insert(position, offer)
        promised += offer.deposit_wei + means.gas_wei
        at_risk += offer.deposit_wei
    start, queue = _begin(lanes, means)
    return Plan(tuple(start), tuple(queue), tuple(passed))


def average(before: tuple[int, int], amount: int, seconds: int) -> tuple[int, int]:
    """(amount, seconds) of a running average in which the past counts half each time, and long runs more than short."""
    return before[0] // 2 + amount, max(1, before[1] // 2 + seconds)


def learned_speed(device: str, operations: int, seconds: int) -> int:
    """What a training of so many operations says about a device; short ones never make it slower than assumed."""
    assumed = ASSUMED_OPERATIONS["cuda" if device.startswith("cuda") else "cpu"]
    measured = operations // max(1, seconds)
    return max(1, measured if seconds >= LONG_SECONDS else max(assumed, measured))


# ------------------------------------------------------------------ inside


def _order(offer: Offer, means: Means) -> tuple[int, int]:
    fastest = min((seconds_needed(offer, device.name, means) for device in means.devices), default=1)
    return -worth(offer, fastest), offer.ranked.task_id


def _refusal(offer: Offer, means: Means, promised: int, at_risk: int) -> str:
    """What no device can change."""
    needed = offer.deposit_wei + means.gas_wei
    if means.balance_wei - promised < needed:
        others = f", of which {format_amount(promised)} are promised to better tasks" if promised else ""
        held = format_amount(means.balance_wei)
        return f"deposit and gas need {format_amount(needed)}, the account holds {held}{others}"
    limit = means.most_at_risk_wei
    if limit is not None and at_risk + offer.deposit_wei > limit:
        return (
            f"its deposit of {format_amount(offer.deposit_wei)} would put {format_amount(at_risk + offer.deposit_wei)} "
            f"at risk, the limit is {format_amount(limit)}"
        )
    if means.memory_bytes is not None and offer.memory_bytes > means.memory_bytes:
        return f"training needs about {offer.memory_bytes} bytes of memory, this machine has {means.memory_bytes}"
    return ""


def _place(offer: Offer, lanes: Sequence[_Lane], means: Means) -> tuple[_Lane, int] | None:
    """Where the task is done soonest without making another one late; on each device as far back as it may be."""
    best: tuple[int, _Lane, int] | None = None
    for lane in lanes:
        if len(lane.offers) >= QUEUE_LENGTH:
            continue
        for position in range(len(lane.offers), -1, -1):
            order = [*lane.offers[:position], offer, *lane.offers[position:]]
            ends = _ends(lane.device, order, means)
            if ends is not None:
                if best is None or ends[position] < best[0]:
                    best = ends[position], lane, position
                break
    return best and (best[1], best[2])


def _ends(device: Device, order: Sequence[Offer], means: Means) -> list[int] | None:
    """When each of them would be done; None if one would be too late."""
    time: int = max(means.now, device.free_at)
    ends: list[int] = []
    for offer in order:
        seconds = seconds_needed(offer, device.name, means)
        if time + with_margin(seconds) > offer.ranked.train_end:
            return None
        time += seconds
        ends.append(time)
    return ends


def _no_place(offer: Offer, lanes: Sequence[_Lane], means: Means) -> str:
    """Never how much time is left: a sentence that changes every second would be told every second."""
    if not lanes:
        return "there is no device to train on"
    needed = min(seconds_needed(offer, lane.device.name, means) for lane in lanes)
    if means.now + with_margin(needed) > offer.ranked.train_end:
        margin = with_margin(needed) - needed
        return f"training needs about {needed} s here and {margin} s of margin, more than is left"
    return "every device is busy with better paid tasks until it is too late for this one"


def _begin(lanes: Sequence[_Lane], means: Means) -> tuple[list[Choice], list[Choice]]:
    """(what starts now, what waits), each by the time it starts."""
    start: list[Choice] = []
    queue: list[Choice] = []
    used = means.memory_used
    for lane in lanes:
        time: int = max(means.now, lane.device.free_at)
        for position, offer in enumerate(lane.offers):
            choice = _choice(offer, lane.device.name, Timestamp(time), means)
            fits = means.memory_bytes is None or used + offer.memory_bytes <= means.memory_bytes
            if position == 0 and lane.device.free_at <= means.now and fits:
                used += offer.memory_bytes
                start.append(choice)
            else:
                queue.append(choice)
            time += choice.seconds
    return start, sorted(queue, key=lambda choice: (choice.starts_at, choice.task_id))


def _choice(offer: Offer, device: str, starts_at: Timestamp, means: Means) -> Choice:
    seconds = seconds_needed(offer, device, means)
    bounty = offer.ranked.bounty_wei
    return Choice(
        task_id=offer.ranked.task_id,
        device=device,
        starts_at=starts_at,
        seconds=seconds,
        deposit_wei=offer.deposit_wei,
        why=(
            f"pays {format_amount(bounty)} for about {format_duration(seconds)} here; "
            f"{format_amount(_rounded(bounty // seconds))} a second"
        ),
    )


def _rounded(wei: int) -> int:
    """Three digits, for people."""
    unit: int = 10 ** max(0, len(str(wei)) - 3)
    return wei // unit * unit
