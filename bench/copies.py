"""One model against a ledger of many: `python bench/copies.py` writes bench/results/copies.json.

A stub of an RPC endpoint in another process serves the log of so many opened models, one in a hundred with one more
slot published, as a node would: JSON over HTTP. What is timed is what `dlbc watermark detect FILE --all --align never`
does after its start: read the file, all keys and all terms, decode them, read every key. The model file is random
numbers with one of the marks, which has to be found, and nothing else. On a machine with other work the seconds are
more than needed; cpu_seconds are of this process, all threads.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from multiprocessing import Process, Queue
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from _help import parser_of
from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.adapters.ml.weights import save_model
from dlbc.adapters.weight_file import read_weights
from dlbc.core import watermark
from dlbc.core.architecture import Architecture, parameters, tensor_shapes
from dlbc.core.cid import locator_of
from dlbc.core.hashing import keccak, sha256
from dlbc.core.manifest import (
    Manifest,
    SealedTest,
    Shard,
    Training,
    manifest_from_bytes,
    manifest_to_bytes,
    workload_of,
)
from dlbc.core.proofs import terms_hash
from dlbc.core.types import ZERO_HASH, Address, BlockHeader, Locator, Terms, Timestamp, Wei
from dlbc.roles.copies import CopySearch
from dlbc.roles.detecting import Detector
from dlbc.roles.models import Models

RESULTS = Path(__file__).resolve().parent / "results" / "copies.json"
MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
REGISTRY = Address("0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512")
MINER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
CHAIN_ID = 31337
MODELS = 10_000
MARKED = 4_300
PUBLISHED = 100
"""One model in so many has a second slot in the log."""
SAMPLES = 1_000
SIZES = {
    "mlp [1024, 1024]": Architecture("mlp", (784,), 10, (1024, 1024)),
    "mlp [4096, 4096]": Architecture("mlp", (784,), 10, (4096, 4096)),
    "mlp [8192, 8192]": Architecture("mlp", (784,), 10, (8192, 8192)),
}
LIMIT_SECONDS = 60.0


# ------------------------------------------------------------------ the ledger


def key_of(task: int, slot: int) -> bytes:
    """A model's slot key."""
    return keccak(f"slot {slot} of task {task}".encode())


def manifest_of(architecture: Architecture) -> bytes:
    """Of every task alike."""
    nothing, size = Locator(ZERO_HASH), SAMPLES * (4 * prod(architecture.input_shape) + 8)
    return manifest_to_bytes(
        Manifest(
            name="many",
            architecture=architecture,
            training=Training(1, 64, 1000),
            shards=(Shard(nothing, ZERO_HASH, size, SAMPLES),),
            tests=(SealedTest(nothing, size, SAMPLES),),
            model_bytes=4 * parameters(architecture) + 2**16,
        )
    )


def terms_of(architecture: Architecture, manifest: bytes) -> Terms:
    """Of every task alike."""
    return Terms(
        manifest_hash=sha256(manifest),
        manifest=Locator(locator_of(manifest)),
        workload=workload_of(manifest_from_bytes(manifest)),
        train_seconds=3600,
        release_seconds=3600,
        reveal_seconds=3600,
        open_seconds=3600,
        challenge_seconds=3600,
        min_score_ppm=0,
        min_gain_ppm=0,
        tolerance_ppm=0,
        bounty_wei=Wei(10**18),
        deposit_wei=Wei(10**17),
        bond_wei=Wei(10**17),
        royalty_bps=500,
    )


def logs_of(models: int, architecture: Architecture) -> dict[str, list[dict[str, Any]]]:
    """By topic: what a node would answer."""
    terms, commitments = terms_of(architecture, manifest_of(architecture)), [ZERO_HASH]
    hash_ = terms_hash(terms, commitments)
    rows: dict[str, list[dict[str, Any]]] = {}

    def add(contract: str, address: Address, name: str, indexed: list[Any], plain: list[Any], block: int) -> None:
        event = abi.load(contract).events[name]
        topics = [
            event.topic,
            *(codec.encode([item], [value]) for item, value in zip(event.indexed, indexed, strict=True)),
        ]
        rows.setdefault("0x" + event.topic.hex(), []).append(
            {
                "address": address,
                "topics": ["0x" + topic.hex() for topic in topics],
                "data": "0x" + codec.encode(event.plain, plain).hex(),
                "blockNumber": hex(block),
                "blockHash": "0x" + ZERO_HASH.hex(),
                "transactionHash": "0x" + ZERO_HASH.hex(),
                "transactionIndex": "0x0",
                "logIndex": "0x0",
                "removed": False,
            }
        )

    for task in range(1, models + 1):
        model = keccak(f"model {task}".encode())
        header = BlockHeader(
            1,
            task,
            ZERO_HASH,
            task,
            0,
            model,
            ZERO_HASH,
            MINER,
            1,
            1,
            1,
            1,
            Timestamp(1),
            1,  # type: ignore[arg-type]
        )
        add("TaskMarket", MARKET, "TaskPosted", [task, MINER], [hash_, 1, terms, commitments], task)
        add("TaskMarket", MARKET, "ModelOpened", [task, 0, MINER], [ZERO_HASH, key_of(task, 0), [ZERO_HASH], 1], task)
        add("ModelRegistry", REGISTRY, "BlockAppended", [task, ZERO_HASH, task], [header], task)
        if task % PUBLISHED == 0:
            plain = [0, MINER, 1, key_of(task, 1), task]
            add("ModelRegistry", REGISTRY, "SlotRevealed", [model, task], plain, task)
    return rows


def serve(models: int, architecture: Architecture, ready: Queue[int]) -> None:
    """An endpoint that knows this log and nothing else."""
    answers = {
        topic: [(int(row["blockNumber"], 16), row["topics"][1], json.dumps(row).encode()) for row in rows]
        for topic, rows in logs_of(models, architecture).items()
    }
    registry = "0x" + abi.load("TaskMarket").functions["registry"].selector.hex()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            result = self._result(request["method"], request["params"])
            body = b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (request["id"], result)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _result(self, method: str, params: list[Any]) -> bytes:
            if method == "eth_getLogs":
                first, last = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
                kind, subject, *_ = [*params[0]["topics"], None]
                # No claim was revealed, so the original of the mark that is found is not there.
                rows = answers.get(kind, [])
                chosen = [row for block, of, row in rows if first <= block <= last and subject in (None, of)]
                return b"[" + b",".join(chosen) + b"]"
            if method == "eth_call":
                word = bytes(12) + bytes.fromhex(REGISTRY[2:])
                return json.dumps("0x" + (word if params[0]["data"][:10] == registry else bytes(256)).hex()).encode()
            simple = {"eth_chainId": hex(CHAIN_ID), "eth_blockNumber": hex(models), "eth_getCode": "0x00"}
            return json.dumps(simple[method]).encode()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.put(server.server_port)
    server.serve_forever()


class OneFile:
    """ports.Storage that serves one manifest."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        """The manifest."""
        return self.data


# ------------------------------------------------------------------ the measurement


def measure(name: str, models: int) -> dict[str, Any]:
    """Seconds, and what was found."""
    architecture, queue = SIZES[name], Queue()
    server = Process(target=serve, args=(models, architecture, queue), daemon=True)
    server.start()
    try:
        port = queue.get(timeout=120)
        with TemporaryDirectory(prefix="dlbc-bench-") as folder:
            return run(name, models, architecture, port, Path(folder) / "model.safetensors")
    finally:
        server.terminate()
        server.join()


def run(name: str, models: int, architecture: Architecture, port: int, file: Path) -> dict[str, Any]:
    """One file against the endpoint."""
    chance = np.random.default_rng(0)
    weights = {n: chance.standard_normal(shape, dtype=np.float32) for n, shape in tensor_shapes(architecture).items()}
    marked = min(MARKED, models // PUBLISHED * PUBLISHED)
    payload = watermark.payload(CHAIN_ID, MARKET, marked, 0, MINER, 1)
    watermark.embed(weights, key_of(marked, 1), 1, payload)
    carriers = watermark.carriers_per_slot(watermark.shapes_of(weights))
    save_model(weights, file)
    size = sum(tensor.nbytes for tensor in weights.values())
    del weights
    chain = Web3Chain(f"http://127.0.0.1:{port}", MARKET, expected_chain_id=CHAIN_ID)
    storage: Any = OneFile(manifest_of(architecture))
    nobody: Any = None
    search = CopySearch(chain, Models(chain, storage, nobody))
    began, cpu = time.perf_counter(), time.process_time()
    slots, told = len(search.slots), len(search.workloads)
    read_log = time.perf_counter() - began
    found = Detector(search, read_weights).detect(file, align="never")
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    tests = models + models // PUBLISHED
    marks = [(mark.reading.slot.task_id, mark.reading.slot.slot) for mark in found.look.found]
    if marks != [(marked, 1)] or (found.look.tests, slots, told) != (tests, tests, models):
        raise SystemExit(f"expected the mark of task {marked} in {tests} tests, found {marks} in {found.look.tests}")
    return {
        "model": name,
        "parameters": parameters(architecture),
        "carriers_per_slot": carriers,
        "models": models,
        "tests": found.look.tests,
        "log_seconds": round(read_log, 1),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "weights_mib": round(size / 2**20),
    }


def main() -> int:
    """Measures, prints, writes; returns the exit code: 1 over the limit."""
    parser = parser_of(__doc__)
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--only", choices=sorted(SIZES), help="one size; nothing is written")
    options = parser.parse_args()
    rows = []
    for name in [options.only] if options.only else SIZES:
        rows.append(measure(name, options.models))
        print(json.dumps(rows[-1]), flush=True)
    if not options.only and options.models == MODELS:
        machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        date = datetime.now(UTC).date().isoformat()
        RESULTS.write_text(json.dumps({"date": date, **machine, "runs": rows}, indent=2) + "\n")
    return 1 if any(row["seconds"] > LIMIT_SECONDS for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
