"""One candidate against a whole registry, and the largest slot there is: seconds, and memory in a process of their own.

python bench/watermark_parts/registry.py KEYS          prints one JSON object; 10000 takes most of a minute
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from dlbc.core import watermark
from numpy.typing import NDArray

CANDIDATE = (2048, 2048)
"""Rows and columns of a matrix with 2^20 carriers a slot."""
LARGEST = (8192, 16384)
"""2^24 carriers a slot: four slots, 2^27 weights."""


def measure(keys: int) -> dict[str, Any]:
    """Both measurements, each in a fresh process, so that memory is counted from nothing."""
    found = {}
    for name in ("registry", "largest_slot"):
        child = subprocess.run(
            [sys.executable, str(Path(__file__)), name, str(keys)], capture_output=True, text=True, check=True
        )
        found[name] = json.loads(child.stdout)
    return found


def registry(keys: int) -> dict[str, Any]:
    """A model of 2^20 carriers a slot against `keys` opened slots of earlier models; one of them is its own."""
    weights = _weights(CANDIDATE)
    own, payload = b"\x01" * 32, b"\x02" * 32
    watermark.embed(weights, own, 0, payload)
    random = np.random.default_rng(0)
    known = [(random.bytes(32), random.bytes(32)) for _ in range(keys - 1)] + [(own, payload)]
    before = _peak()
    seconds = {}
    for threads in (1, 2):
        began = time.perf_counter()
        turned = watermark.planes(watermark.quantise(weights, 0))
        parts = [known[first::threads] for first in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            jobs = [pool.submit(watermark.correlate, turned, *zip(*part, strict=True)) for part in parts]
        seconds[threads] = time.perf_counter() - began
        hits = sum(watermark.reaches(one, turned.energy, watermark.BLIND) for job in jobs for one in job.result())
    own_slot = watermark.detect(weights, own, 0, payload)
    return {
        "carriers": turned.carriers,
        "keys": keys,
        "seconds_on_one_thread": round(seconds[1], 2),
        "seconds_on_two_threads": round(seconds[2], 2),
        "found": hits,
        "peak_memory_over_weights": round((_peak() - before) / weights["w"].nbytes, 2),
        "own_strength": round(own_slot.strength, 2),
        "own_wrong_bits": own_slot.bits_wrong,
        "n": own_slot.n,
    }


def largest_slot() -> dict[str, Any]:
    """The pinned detector on 2^24 carriers; memory counts the weights themselves."""
    before = _peak()
    weights = _weights(LARGEST)
    size = weights["w"].nbytes
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        found = watermark.detect(weights, bytes(32), 0, bytes(32))
        seconds.append(time.perf_counter() - began)
    return {
        "carriers": watermark.MAX_CARRIERS,
        "weights_mib": size >> 20,
        "seconds": round(min(seconds), 3),
        "seconds_slowest_of_3": round(max(seconds), 3),
        "peak_memory_over_weights": round((_peak() - before) / size, 3),
        "strength": round(found.strength, 3),
    }


def _weights(shape: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    weights = {"w": np.empty(shape, np.float32)}
    np.random.default_rng(0).standard_normal(dtype=np.float32, out=weights["w"])
    return weights


def _peak() -> int:
    """Bytes that this program has had in memory at most.

    On Linux not ru_maxrss, which a new program takes over from the process that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    if sys.argv[1:2] == ["registry"]:
        print(json.dumps(registry(int(sys.argv[2]))))
    elif sys.argv[1:2] == ["largest_slot"]:
        print(json.dumps(largest_slot()))
    else:
        print(json.dumps(measure(int(sys.argv[1])), indent=1))
