"""Reads a market's whole log in a process of its own, so that its memory is its own: ours, or web3's way.

python reader.py (ours|web3) JSON: {"url", "market", "lens", "block"}; prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dlbc.adapters.chain import abi
from dlbc.adapters.chain.web3_chain import Web3Chain

WEB3_RANGE = 20
"""Blocks a request of the plain loop: about as many logs an answer as ours asks for."""


def ours(where: dict[str, Any]) -> Iterator[object]:
    """The client's own way."""
    chain = Web3Chain(where["url"], where["market"], where["lens"], None, where["block"])
    _ = chain.chain_id
    yield None  # from here on it counts
    yield from chain.postings()
    yield from chain.all_commits()


def web3(where: dict[str, Any]) -> Iterator[object]:
    """The loop that web3's documentation shows: get_logs in ranges, which decodes."""
    from web3 import HTTPProvider, Web3

    w3 = Web3(HTTPProvider(where["url"]))
    events = w3.eth.contract(where["market"], abi=abi.artifact("TaskMarket")["abi"]).events
    last = w3.eth.block_number
    yield None
    for event in (events.TaskPosted, events.ModelCommitted):
        for first in range(where["block"], last + 1, WEB3_RANGE):
            yield from event.get_logs(from_block=first, to_block=min(last, first + WEB3_RANGE - 1))


def status(name: str) -> int:
    """Bytes, from /proc."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    """Reads, counts, prints."""
    ways: dict[str, Callable[[dict[str, Any]], Iterator[object]]] = {"ours": ours, "web3": web3}
    events = ways[sys.argv[1]](json.loads(sys.argv[2]))
    next(events)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here (proc(5))
    began, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in events)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    found = {
        "events": count,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "grown_mib": round((status("VmHWM") - before) / 2**20, 1),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
