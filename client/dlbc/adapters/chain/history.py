"""Everything that happened to one task, from the logs of its market and of the market's pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from dlbc.adapters.chain import abi
from dlbc.adapters.chain.connection import Connection, place
from dlbc.core.events import TaskEvent
from dlbc.core.types import ZERO_ADDRESS, Address, Hash32, TaskId, Wei

_ACCOUNTS = ("requester", "filer", "voter", "refuter", "demander", "answerer", "account", "miner", "subject")
"""Whom an event is about: the first of these that it names."""
_AMOUNTS = {"Credited": "amount_wei", "DepositReclaimed": "amount_wei", "RoundSettled": "paid_wei"} | {
    "VoteCommitted": "lock_wei",
    "VoteRevealed": "lock_wei",
    "VoteCollected": "share_wei",
    "BondCollected": "amount_wei",
}
_DEMANDED = "PredictionDemanded"
_DETAILS = ("reason", "ruling", "verdict", "fault")

Found = tuple[tuple[int, int], TaskEvent]


def read_history(connection: Connection, market: Address, pool: Address, task_id: TaskId) -> list[TaskEvent]:
    """Oldest first. The pool's ballots and what was collected for them are found by the task's cases."""
    found = [*_of_task(connection, "TaskMarket", market, task_id), *_of_task(connection, "AuditorPool", pool, task_id)]
    cases = {
        (values["case_id"], int(values["round"]))
        for name in ("ClaimDisputed", "TestSetImpeached")
        for values in connection.logs("AuditorPool", pool, name, [None, task_id])
    }
    for case_id, index in sorted(cases):
        for name, event in abi.load("AuditorPool").events.items():
            if _position(event, "caseId") == 0 and _position(event, "taskId") is None:
                logs = connection.logs("AuditorPool", pool, name, [case_id])
                found += [_event(connection, "AuditorPool", name, {**values, "round": index}) for values in logs]
    events = [event for _, event in sorted(found, key=lambda pair: pair[0])]
    if any(event.name == _DEMANDED for event in events):  # the event does not say what came with it
        bond = connection.view("AuditorPool", pool, "poolParams").demand_bond_wei
        events = [replace(event, wei=bond) if event.name == _DEMANDED else event for event in events]
    return events


def _of_task(connection: Connection, contract: str, address: Address, task_id: TaskId) -> Iterator[Found]:
    """Events that name the task among their indexed values."""
    for name, event in abi.load(contract).events.items():
        position = _position(event, "taskId")
        if position is not None:
            for values in connection.logs(contract, address, name, [*[None] * position, task_id]):
                yield _event(connection, contract, name, values)


def _position(event: abi.Event, argument: str) -> int | None:
    names = [str(item["name"]) for item in event.indexed]
    return names.index(argument) if argument in names else None


def _event(connection: Connection, contract: str, name: str, values: Mapping[str, Any]) -> Found:
    account = next((values[key] for key in _ACCOUNTS if key in values), ZERO_ADDRESS)
    detail = next((values[key] for key in _DETAILS if key in values), None)
    index = values.get("round")
    return place(values), TaskEvent(
        contract=contract,
        name=name,
        round=None if index is None else int(index),
        account=account,
        wei=Wei(int(values[_AMOUNTS[name]]) if name in _AMOUNTS else 0),
        detail=detail.name if isinstance(detail, Enum) else "",
        block_number=int(values["block_number"]),
        tx_hash=Hash32(connection.rpc.as_data("eth_getLogs", values["tx_hash"])),
    )
