"""What a miner's entries take, now or as soon as they can: devices, the account's money, memory and disk."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dlbc.core.schedule import Means
from dlbc.core.types import Timestamp
from dlbc.roles.choosing import disk_needed, memory_needed
from dlbc.roles.disk import folder_bytes
from dlbc.roles.entry import MinerEntry
from dlbc.roles.miner_state import seconds_left

PATIENCE = 10
"""Slices of fetching after which a miner looks for another task beside one whose data does not come."""

Entries = Collection[MinerEntry]


def is_stuck(entry: MinerEntry) -> bool:
    """Its data does not come: that must keep neither a device nor money from other tasks."""
    return entry.may_give_up and not entry.training.is_running and entry.training.data_tries >= PATIENCE


def alive(entries: Entries) -> list[MinerEntry]:
    """Those that go on."""
    return [entry for entry in entries if not (entry.is_done or entry.gave_up)]


def at_work(entries: Entries) -> list[MinerEntry]:
    """Entries that have a device, or will have one as soon as their data is here."""
    return [entry for entry in alive(entries) if entry.may_give_up and not is_stuck(entry)]


def free_devices(devices: Sequence[str], entries: Entries) -> list[str]:
    """Those that nothing is trained on."""
    taken = {entry.device for entry in entries if entry.training.is_running}
    return [device for device in devices if device not in taken]


def free_at(device: str, entries: Entries, now: Timestamp, seconds: float) -> Timestamp:
    """When a device has nothing to do, as far as is known. seconds: on the stopwatch, now."""
    ends = [seconds_left(entry, seconds) for entry in at_work(entries) if entry.device == device]
    return Timestamp(now + max(1, max(ends))) if ends else now


def at_risk(entries: Entries) -> int:
    """Deposits in the market, and those that will be paid."""
    return sum(
        entry.posted.terms.deposit_wei
        for entry in entries
        if not entry.is_done and (entry.has_committed or not (entry.gave_up or is_stuck(entry)))
    )


def money_promised(entries: Entries, gas_wei: int) -> int:
    """Deposits that are not paid yet, and gas_wei for each entry that goes on."""
    moving = [entry for entry in alive(entries) if not is_stuck(entry)]
    unpaid = sum(entry.posted.terms.deposit_wei for entry in moving if not entry.has_committed)
    return unpaid + gas_wei * len(moving)


def memory_used(entries: Entries) -> int:
    """By trainings."""
    running = [entry for entry in alive(entries) if entry.training.is_running]
    return sum(memory_needed(entry.manifest, entry.device) for entry in running)


def disk_promised(entries: Entries) -> int:
    """What begun trainings will still write."""
    begun = [entry for entry in alive(entries) if entry.may_give_up]
    return sum(max(0, disk_needed(entry.manifest) - folder_bytes(entry.folder)) for entry in begun)


def why_no_room(entry: MinerEntry, means: Means) -> str:
    """Why a task whose data comes after all can't be begun now; others were promised its money. "" if it can."""
    deposit, limit = entry.posted.terms.deposit_wei, means.most_at_risk_wei
    if limit is not None and means.at_risk_wei + deposit > limit:
        return "its deposit would put more at risk than the limit allows"
    if means.balance_wei - means.promised_wei < deposit + means.gas_wei:
        return "the account holds too little for its deposit, beside what is promised to other tasks"
    return ""
