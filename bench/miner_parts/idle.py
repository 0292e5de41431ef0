"""What a miner costs that has nothing to do: processor time, memory, requests to its node."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from dlbc import bootstrap
from dlbc.adapters.devnet.network import LocalNetwork

from miner_parts.market import TERMS, TESTS
from miner_parts.processes import Command
from miner_parts.proxy import CountingProxy

START_SECONDS = 60.0
SETTLE_SECONDS = 5.0
TASKS = 20
LIMITS = {"cpu_share": 0.01, "resident_mib": 250.0, "requests_per_second": 2.0}


def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """Of `dlbc miner run` on a local network (a block a second), from some seconds after its start on.

    TASKS tasks are in training, but the miner was told to look at others only: it looks, and finds nothing to do.
    """
    with (
        LocalNetwork(folder / "home", fresh=True) as network,
        CountingProxy(network.rpc_url) as proxy,
    ):
        requester = bootstrap.chain(network.config("requester"), network.keys("requester"))
        for _ in range(TASKS):
            requester.post(TERMS, TESTS)
        arguments = ("miner", "run", "--device", "cpu", "--task", str(10 * TASKS))
        with Command(network, folder / "logs", "miner1", *arguments, rpc_url=proxy.url) as miner:
            miner.until(lambda: miner.events("miner_started"), "the miner's start", START_SECONDS)
            time.sleep(SETTLE_SECONDS)
            began, before, asked_before = time.monotonic(), miner.usage(), proxy.calls
            time.sleep(seconds)
            elapsed, after, asked = time.monotonic() - began, miner.usage(), proxy.calls - asked_before
    return {
        "seconds": round(elapsed, 1),
        "tasks": TASKS,
        "cpu_share": round((after.cpu_seconds - before.cpu_seconds) / elapsed, 4),
        "resident_mib": round(after.resident_bytes / 2**20, 1),
        "peak_mib": round(after.peak_bytes / 2**20, 1),
        "requests_per_second": round(asked.total() / elapsed, 2),
        "requests": dict(asked.most_common()),
        "start_cpu_seconds": round(before.cpu_seconds, 2),
        "limits": LIMITS,
    }


def broken(found: dict[str, Any]) -> list[str]:
    """The limits that are not kept."""
    return [
        f"idle: {name} is {found[name]}, allowed are {limit}" for name, limit in LIMITS.items() if found[name] > limit
    ]
