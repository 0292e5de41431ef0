"""How fast a whole ledger is verified: `dlbc bench ledger` writes bench/results/ledger.json.

Blocks of real contract calls on a real Anvil, verified from genesis by all that the chain alone can tell (what `dlbc
ledger verify` does without --models); then after some more blocks, from where the last run ended; and, for some of
the blocks, web3's own calls one by one. The node shares this machine's cores with what is measured.

`--quick` takes fewer blocks; its results go to bench/results/quick. Exit code 1 below the asked rate.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from _help import parser_of
from dlbc.adapters.chain.web3_ledger import Web3Ledger
from dlbc.adapters.signatures import recover_signer
from dlbc.roles.ledger import LedgerReport, LedgerVerifier
from ledger_parts import plain
from ledger_parts.market import Ledger
from miner_parts.market import Node

RESULTS = Path(__file__).resolve().parent / "results"
BLOCKS = 1_000
QUICK_BLOCKS = 200
NEW_BLOCKS = 50
ONE_BY_ONE = 40
RUNS = 3
COMMAND_SECONDS = 600.0
LIMIT_BLOCKS_PER_SECOND = 50


def main() -> int:
    """Measures, prints, writes; returns the exit code: 1 below the asked rate."""
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer blocks")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="dlbc-bench-") as folder:
        found = measure(Path(folder), QUICK_BLOCKS if options.quick else BLOCKS)
    print(json.dumps(found), flush=True)
    write(found, RESULTS / "quick" if options.quick else RESULTS)
    if found["blocks_per_second"] < LIMIT_BLOCKS_PER_SECOND:
        print(f"{found['blocks_per_second']} blocks a second; {LIMIT_BLOCKS_PER_SECOND} are asked", file=sys.stderr)
        return 1
    return 0


def measure(folder: Path, blocks: int) -> dict[str, Any]:
    """Medians of RUNS; seconds are wall-clock and count the node's work."""
    with Node(folder) as node:
        ledger = Ledger(node)
        began = time.perf_counter()
        ledger.grow(blocks)
        built = time.perf_counter() - began
        whole = [_timed(ledger, None, blocks) for _ in range(RUNS)]
        command = _command_seconds(ledger, folder, blocks)
        file = folder / "ledger.json"
        _timed(ledger, file, blocks)
        size = file.stat().st_size
        ledger.grow(NEW_BLOCKS)
        later = _timed(ledger, file, NEW_BLOCKS)
        again = _timed(ledger, file, 0)
        one_by_one = plain.blocks_per_second(node.url, ledger.market.deployment, blocks // 2, ONE_BY_ONE)
        chain_blocks = int(node.rpc("eth_blockNumber"), 16)
    seconds = median(run["seconds"] for run in whole)
    rate = blocks / seconds
    return {
        "blocks": blocks,
        "chain_blocks": chain_blocks,
        "built_seconds": round(built, 1),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(median(run["cpu_seconds"] for run in whole), 2),
        "node_cpu_seconds": round(median(run["node_cpu_seconds"] for run in whole), 2),
        "blocks_per_second": round(rate),
        "checks": whole[0]["checks"],
        "command_seconds": round(command, 2),
        "incremental": {"new_blocks": NEW_BLOCKS, **_rounded(later), "nothing_new_seconds": round(again["seconds"], 3)},
        "remembered_bytes": size,
        "web3_one_by_one": {"blocks": ONE_BY_ONE, "blocks_per_second": round(one_by_one, 1)},
        "ratio_to_web3": round(rate / one_by_one, 1),
        "limits": {"blocks_per_second": LIMIT_BLOCKS_PER_SECOND},
    }


def _timed(ledger: Ledger, file: Path | None, expected: int) -> dict[str, Any]:
    """One verification, of so many blocks that no earlier one has verified."""
    log = Web3Ledger(ledger.market.chain())
    began, cpu, node = time.perf_counter(), time.process_time(), ledger.node.cpu_seconds()
    report = LedgerVerifier(log, recover_signer, None, file).verify()
    found = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "node_cpu_seconds": ledger.node.cpu_seconds() - node,
        "checks": sum(report.done.values()),
    }
    _insist(report, expected)
    return found


def _insist(report: LedgerReport, expected: int) -> None:
    if not report.holds or report.blocks - report.before != expected:
        verified = report.blocks - report.before
        raise SystemExit(f"expected {expected} right blocks, verified {verified}: {report.wrong[:1]}{report.elsewhere}")


def _command_seconds(ledger: Ledger, folder: Path, blocks: int) -> float:
    """Of the whole command, its start included."""
    where = ledger.market.deployment
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DLBC_")} | {
        "DLBC_HOME": str(folder / "home"),
        "DLBC_RPC_URL": ledger.node.url,
        "DLBC_MARKET": where.market,
        "DLBC_DEPLOYMENT_BLOCK": str(where.block_number),
    }
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "dlbc", "ledger", "verify", "--json"],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        timeout=COMMAND_SECONDS,
        check=True,
    )
    seconds = time.perf_counter() - began
    told = json.loads(done.stdout)
    if (told["verified"], told["blocks"]) != (True, blocks):
        raise SystemExit(f"expected {blocks} right blocks, the command tells {told['blocks']}")
    return seconds


def _rounded(run: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 2) for name, value in run.items() if name.endswith("seconds")}


def write(found: dict[str, Any], folder: Path) -> None:
    """ledger.json."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    date, load = datetime.now(UTC).date().isoformat(), round(os.getloadavg()[2], 1)
    told = {"date": date, **machine, "load_of_15_minutes": load, **found}
    (folder / "ledger.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
