"""How long an audit takes, and how much memory: `dlbc bench audit` writes bench/results/audit.json.

A task of a small convolutional network with 10,000 test samples is posted, trained for, revealed, opened and settled
on a local network (Anvil, Kubo) by the real daemons. Then `dlbc audit` examines it, several times, as a process of
its own: seconds from start to end; what the audit and its scoring process hold in memory, together at the worst moment
and each at its peak, and how long each of them is at work. Beside it, in the same run, a process that only does what
nobody can leave out: it imports torch, loads the model from disk and scores the samples with the pinned evaluator.

`--quick` audits 1,000 samples once; its results go to bench/results/quick. What misses a limit is told, and makes the
exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from _help import parser_of
from audit_parts import memory as memory_of
from dlbc import bootstrap
from dlbc.adapters.devnet.network import LocalNetwork, Network
from dlbc.core.types import Phase, TaskId
from miner_parts.processes import Command

RESULTS = Path(__file__).resolve().parent / "results"
STEP_SECONDS = 600.0
LIMIT_SECONDS = 15.0
LEAST_SCORING = 0.8
MEMORY_BESIDE_MODELS = 300 * 10**6
COUNTED = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[1:]).returncode
seconds = round(time.perf_counter() - began, 3)
peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"seconds": seconds, "peak_bytes": peak}), file=sys.stderr)
sys.exit(code)
"""
"""A small parent: a process begins with the peak of whoever forked it."""
MEASURED = ("peak", "at_work", "processor_seconds")
FASHION = Path("/usr/share/datasets/fashion-mnist")


def main() -> int:
    """Measures, prints, writes; returns the exit code: 1 over a limit."""
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples, once")
    parser.add_argument("--inside", type=int, metavar="TASK", help=argparse.SUPPRESS)
    parser.add_argument("--scoring", nargs=3, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(inside(TaskId(options.inside))))
        return 0
    if options.scoring:
        print(json.dumps(scoring(*(Path(name) for name in options.scoring))))
        return 0
    with TemporaryDirectory(prefix="dlbc-bench-") as folder:
        found = measure(Path(folder), 1_000 if options.quick else 10_000, 1 if options.quick else 5)
    print(json.dumps(found, indent=2))
    write(found, RESULTS / "quick" if options.quick else RESULTS)
    complaints = [] if options.quick else broken(found)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def measure(folder: Path, samples: int, times: int) -> dict[str, Any]:
    """Audits of one settled task, and scoring alone."""
    with LocalNetwork(folder / "home", fresh=True) as network:
        task_id = settled_task(network, folder, samples)
        models = bootstrap.models(network.config())
        model = models.settled(task_id)
        size = models.pull(model, folder / "model.safetensors")
        words = ("-m", "dlbc", "audit", str(task_id), "--json")
        audits = [timed(network, *words) for _ in range(times)]
        memory = [held(network, *words) for _ in range(times)]
        parts = [timed(network, str(Path(__file__)), "--inside", str(task_id)) for _ in range(times)]
        files = (folder / "model.safetensors", folder / "model.json", folder / "data.npz")
        alone = [timed(network, str(Path(__file__)), "--scoring", *map(str, files)) for _ in range(times)]
    together = max((run["together"] for run in memory), key=lambda sizes: sizes["share"])
    if not all(audit["told"]["audit"] == "pass" for audit in audits):
        raise SystemExit(f"the audit failed: {json.dumps(audits[0]['told'])[:2000]}")
    return {
        "samples": samples,
        "model_bytes": size,
        "parameters": sum(np.prod(shape, dtype=int).item() for shape in shapes(folder / "model.safetensors")),
        "audit_seconds": [audit["seconds"] for audit in audits],
        "audit_seconds_median": median(audit["seconds"] for audit in audits),
        "audit_peak_bytes": {"largest_process": max(audit["peak_bytes"] for audit in audits), "together": together},
        "processes": {
            name: {what: median(run[name][what] for run in map(by_role, memory)) for what in MEASURED}
            for name in ("audit", "scoring")
        },
        "of_which": {name: round(median(part["told"][name] for part in parts), 3) for name in parts[0]["told"]},
        "scoring_alone_seconds": median(one["seconds"] for one in alone),
        "scoring_alone_peak_bytes": max(one["peak_bytes"] for one in alone),
        "audit_to_scoring_alone": round(
            median(audit["seconds"] for audit in audits) / median(one["seconds"] for one in alone), 3
        ),
        "limits": {
            "audit_seconds_median": LIMIT_SECONDS,
            "share_of_scoring": LEAST_SCORING,
            "audit_peak_bytes": 2 * size + MEMORY_BESIDE_MODELS,
        },
    }


def broken(found: dict[str, Any]) -> list[str]:
    """The limits that are not kept."""
    seconds, peak = found["audit_seconds_median"], found["audit_peak_bytes"]["together"]["share"]
    share, most = found["processes"]["scoring"]["at_work"], found["limits"]["audit_peak_bytes"]
    told = [
        (seconds > LIMIT_SECONDS, f"an audit takes {seconds:.1f} s, allowed are {LIMIT_SECONDS:.0f}"),
        (share < LEAST_SCORING, f"scoring is at work for {share:.0%} of an audit, asked are {LEAST_SCORING:.0%}"),
        (peak > most, f"an audit takes {peak / 1e6:.0f} MB, allowed are {most / 1e6:.0f}"),
    ]
    return [f"audit: {sentence}" for is_broken, sentence in told if is_broken]


# ------------------------------------------------------------------ a settled task


def settled_task(network: Network, folder: Path, samples: int) -> TaskId:
    """Posted, trained for, released, revealed, opened and settled; the clock is moved when there is only to wait."""
    write_data(folder / "data.npz", samples)
    file = task_file(network, folder)
    chain, logs = bootstrap.chain(network.config()), folder / "logs"
    with Command(network, logs, "requester", "task", "post", str(file), "--yes", "--json") as post:
        task_id = TaskId(post.wait(STEP_SECONDS)["taskId"])
    threads = str(os.cpu_count() or 1)
    miner = Command(network, logs, "miner1", "miner", "run", "--task", str(task_id), torch_threads=threads)
    requester = Command(network, logs, "requester", "task", "watch", str(task_id), "--release")
    with miner, requester:

        def wait(condition: Callable[[], object], what: str) -> None:
            miner.until(condition, what, STEP_SECONDS)

        wait(lambda: miner.events("model_committed"), "the commit")
        network.advance_time(to=chain.round(task_id, 0).train_end)
        wait(lambda: miner.events("claim_revealed"), "the reveal")
        network.advance_time(to=chain.phase(task_id).ends_at)
        wait(lambda: miner.events("model_opened"), "the opening")
        network.advance_time(to=chain.phase(task_id).ends_at)
        wait(lambda: chain.phase(task_id).phase is Phase.SETTLED, "the settlement")
    return task_id


def write_data(file: Path, samples: int) -> None:
    """Fashion-MNIST where it is installed, else noise of its shape with a pattern for every class."""
    if (FASHION / "t10k-images-idx3-ubyte.gz").is_file():
        training, test = bootstrap.FileData().load("fashion-mnist", file.parent, 0)
        x_train, y_train, x_test, y_test = training.x[:6_000], training.y[:6_000], test.x[:samples], test.y[:samples]
    else:
        rng = np.random.default_rng(0)
        patterns = rng.random((10, 1, 28, 28), dtype=np.float32)
        y_train, y_test = rng.integers(0, 10, 6_000), rng.integers(0, 10, samples)
        x_train, x_test = (
            (patterns[labels] + rng.random((len(labels), 1, 28, 28), dtype=np.float32)) / 2
            for labels in (y_train, y_test)
        )
    np.savez(file, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def task_file(network: Network, folder: Path) -> Path:
    """One epoch of the network that Fashion-MNIST's template has, and windows of an hour."""
    file = folder / "audit.toml"
    words = ("task", "init", str(file), "--dataset", str(folder / "data.npz"), "--family", "cnn")
    with Command(network, folder / "logs", "requester", *words) as init:
        init.wait(STEP_SECONDS)
    windows = dict.fromkeys(("train", "release", "reveal", "open", "challenge"), '"1h"')
    sizes = {"channels": "[32, 64]", "hidden": "[128]"}
    wanted = {"epochs": "1", "min_score": "0.2", **sizes, **windows}
    lines = [
        next((f"{key} = {value}" for key, value in wanted.items() if line.startswith(f"{key} =")), line)
        for line in file.read_text().splitlines()
    ]
    file.write_text("\n".join(lines) + "\n")
    return file


# ------------------------------------------------------------------ what is timed


def timed(network: Network, *words: str) -> dict[str, Any]:
    """Wall seconds of a process, the peak of resident memory of the largest one in it, and the JSON it printed."""
    return watched(network, ["-c", COUNTED], *words)


def held(network: Network, *words: str) -> dict[str, Any]:
    """Memory of a process and its children, and how long each was at work, in a run whose time does not count."""
    return watched(network, [str(Path(memory_of.__file__))], *words)


def watched(network: Network, watcher: list[str], *words: str) -> dict[str, Any]:
    """What a small parent tells of a process, and the JSON that this one printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DLBC_")}
    environment = clean | {"DLBC_HOME": str(network.home), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-S", *watcher, sys.executable, *words]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(f"{' '.join(words)} ended with code {finished.returncode}: {finished.stderr[-2000:]}")
    return {**json.loads(finished.stderr.splitlines()[-1]), "told": json.loads(finished.stdout)}


def by_role(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The audit's own process, and the one that scores."""
    return {"scoring" if "scoring_child" in one["process"] else "audit": one for one in run["processes"]}


def inside(task_id: TaskId) -> dict[str, float]:
    """Seconds of one audit, by what it waited for: scoring is everything that the trainer does."""
    began = time.perf_counter()
    auditor = bootstrap.auditor(bootstrap.load_config({}), scorer=bootstrap.scorer(begins_now=True))
    counted = Counted(auditor.trainer)
    storage = Counted(auditor.storage)
    report = type(auditor)(
        auditor.chain,
        storage,
        counted,
        auditor.recover_signer,
        align_limit=auditor.align_limit,  # type: ignore[arg-type]
    ).audit(task_id)
    whole = time.perf_counter() - began
    assert report.passed
    rest = whole - counted.seconds - storage.seconds
    return {"scoring": counted.seconds, "fetching": storage.seconds, "all_else": rest}


class Counted:
    """Seconds inside of another object's methods."""

    def __init__(self, other: Any) -> None:
        self._other, self.seconds = other, 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._other, name)
        if not callable(found):
            return found

        def counted(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return found(*given, **named)
            finally:
                self.seconds += time.perf_counter() - began

        return counted


def scoring(model: Path, described: Path, data: Path) -> dict[str, float]:
    """torch, the model, the samples, their classes: nothing else."""
    from dlbc.core.architecture import architecture_from_json

    began = time.perf_counter()
    trainer = bootstrap.trainer()
    architecture = architecture_from_json(json.loads(described.read_bytes()))
    weights = trainer.check_model(model, architecture, max_bytes=2**31)
    with np.load(data) as arrays:
        x, y = arrays["x_test"], arrays["y_test"]
    right = int((trainer.predict(weights, architecture, x) == y).sum())
    return {"seconds": time.perf_counter() - began, "right": right}


def shapes(file: Path) -> list[tuple[int, ...]]:
    """Of the tensors of a safetensors file."""
    with file.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    return [tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"]


def write(found: dict[str, Any], folder: Path) -> None:
    """audit.json."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    told = {"date": datetime.now(UTC).date().isoformat(), **machine, "load_of_15_minutes": round(os.getloadavg()[2], 1)}
    (folder / "audit.json").write_text(json.dumps(told | found, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
