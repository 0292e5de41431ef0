"""How long `dlbc task list` takes on a big market."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from dlbc.roles.listing import listed_tasks

from miner_parts.market import Market, Node

LIMIT_SECONDS = 1.0
SHOWN = 50
RUNS = 5
ONE_BY_ONE = 200
"""Tasks for which the loop that asks for each of them is timed."""
COMMAND_SECONDS = 300.0


def measure(folder: Path, tasks: int) -> dict[str, Any]:
    """All in training first, then half of them cancelled. Medians; seconds are wall-clock and count the node's work."""
    with Node(folder) as node:
        market = Market(node)
        market.post(tasks)
        open_ = list_times(market, everything=False)
        command = command_seconds(market, folder)
        loop = one_by_one_seconds(market) / ONE_BY_ONE * tasks
        market.cancel(range(1, tasks + 1, 2))
        half = list_times(market, everything=True)
    return {
        "tasks": tasks,
        "all_in_training": open_,
        "half_over": half,
        **command,
        "one_by_one_seconds": round(loop, 1),
        "ratio_to_one_by_one": round(loop / open_["seconds"], 1),
        "limits": {"seconds": LIMIT_SECONDS},
    }


def broken(found: dict[str, Any]) -> list[str]:
    """The limit that is not kept."""
    seconds = max(found["all_in_training"]["seconds"], found["half_over"]["seconds"])
    return [f"listing: {seconds} s, allowed is {LIMIT_SECONDS} s"] if seconds > LIMIT_SECONDS else []


def list_times(market: Market, *, everything: bool) -> dict[str, float]:
    """What the command does after its start: a new connection, all pages, the rows of the first page."""
    walls, own, nodes = [], [], []
    for _ in range(RUNS):
        began, cpu, node = time.perf_counter(), time.process_time(), market.node.cpu_seconds()
        rows, total = listed_tasks(market.chain(), everything=everything, limit=SHOWN)
        walls.append(time.perf_counter() - began)
        own.append(time.process_time() - cpu)
        nodes.append(market.node.cpu_seconds() - node)
        if (len(rows), total) != (SHOWN, market.chain().task_count()):
            raise SystemExit(
                f"expected {SHOWN} rows of {market.chain().task_count()} tasks, found {len(rows)} of {total}"
            )
    return {
        "seconds": round(median(walls), 2),
        "best_seconds": round(min(walls), 2),
        "cpu_seconds": round(median(own), 2),
        "node_cpu_seconds": round(median(nodes), 2),
    }


def command_seconds(market: Market, folder: Path) -> dict[str, float]:
    """Of the whole command, and of one that only starts and imports what the list needs."""
    where = market.deployment
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DLBC_")} | {
        "DLBC_HOME": str(folder / "home"),
        "DLBC_RPC_URL": market.node.url,
        "DLBC_MARKET": where.market,
        "DLBC_LENS": where.lens,
    }
    begun = "import dlbc.cli.main, dlbc.adapters.chain.web3_chain, dlbc.roles.listing, rich.table"

    def timed(*words: str) -> tuple[float, str]:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *words],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            timeout=COMMAND_SECONDS,
            check=True,
        )
        return time.perf_counter() - began, done.stdout.decode()

    start, _ = timed("-c", begun)
    table, _ = timed("-m", "dlbc", "task", "list")
    everything, told = timed("-m", "dlbc", "task", "list", "--json")
    listed = len(json.loads(told)["tasks"])
    return {
        "start_seconds": round(start, 2),
        "command_seconds": round(table, 2),
        "command_json_seconds": round(everything, 2),
        "listed_as_json": listed,
    }


def one_by_one_seconds(market: Market) -> float:
    """The plain loop: phase, facts and round of each task."""
    chain = market.chain()
    _ = chain.chain_id
    began = time.perf_counter()
    for number in range(1, ONE_BY_ONE + 1):
        chain.phase(number)
        chain.round(number, chain.task(number).round)
    return time.perf_counter() - began
