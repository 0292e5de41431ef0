"""How fast a client that starts with nothing reads all events of a market, and in how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from miner_parts.market import Market, Node

READER = Path(__file__).with_name("reader.py")
MINERS = 19
"""For each task: so a task is twenty events."""
A_BLOCK = 100
READ_SECONDS = 900.0
LIMIT_EVENTS_PER_SECOND = 5_000
LIMIT_GROWTH = 1.5
"""Memory for all events, in that for a tenth of them."""
SPARE_MIB = 16.0
"""Growth below this is one answer of the node, as JSON and decoded, not all events."""


def measure(folder: Path, events: int) -> dict[str, Any]:
    """Of so many events: postings, and commits of MINERS miners to each task, A_BLOCK transactions a block.

    Every event is TaskMarket's own. Wall-clock seconds count the node's work, too; cpu_seconds are the client's.
    """
    tasks = events // (MINERS + 1)
    with Node(folder) as node:
        market = Market(node)
        market.post(tasks, A_BLOCK)
        market.commit(range(1, tasks // 10 + 1), MINERS, A_BLOCK)
        tenth = read("ours", market)
        market.commit(range(tasks // 10 + 1, tasks + 1), MINERS, A_BLOCK)
        market.check(tasks, MINERS)
        ways = {way: read(way, market) for way in ("ours", "web3")}
        blocks = int(node.rpc("eth_blockNumber"), 16)
    if {found["events"] for found in ways.values()} != {tasks * (MINERS + 1)}:
        raise SystemExit(f"expected {tasks * (MINERS + 1)} events, found {ways}")
    ours, plain = ways["ours"], ways["web3"]
    return {
        "events": ours["events"],
        "blocks": blocks,
        "events_per_second": round(ours["events"] / ours["seconds"]),
        "events_per_cpu_second": round(ours["events"] / ours["cpu_seconds"]),
        "web3_events_per_cpu_second": round(plain["events"] / plain["cpu_seconds"]),
        "cpu_ratio_to_web3": round(plain["cpu_seconds"] / ours["cpu_seconds"], 1),
        "wall_ratio_to_web3": round(plain["seconds"] / ours["seconds"], 1),
        "tenth": tenth,
        **ways,
        "limits": {"events_per_second": LIMIT_EVENTS_PER_SECOND, "growth": LIMIT_GROWTH},
    }


def broken(found: dict[str, Any]) -> list[str]:
    """The limits that are not kept."""
    complaints = []
    if found["events_per_second"] < LIMIT_EVENTS_PER_SECOND:
        complaints.append(
            f"catch_up: {found['events_per_second']} events a second, asked are {LIMIT_EVENTS_PER_SECOND}"
        )
    small, large = found["tenth"]["grown_mib"], found["ours"]["grown_mib"]
    if large > max(SPARE_MIB, LIMIT_GROWTH * small):
        complaints.append(f"catch_up: memory grows by {large} MiB for all events, by {small} MiB for a tenth")
    return complaints


def read(way: str, market: Market) -> dict[str, Any]:
    """The reader's figures."""
    where = market.deployment
    told = {"url": market.node.url, "market": where.market, "lens": where.lens, "block": where.block_number}
    done = subprocess.run(
        [sys.executable, str(READER), way, json.dumps(told)], stdout=subprocess.PIPE, timeout=READ_SECONDS, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
