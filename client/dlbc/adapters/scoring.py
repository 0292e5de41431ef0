"""ports.Scorer in a process of its own, without network: strangers' files are parsed and their models run over there.

What comes back are whole numbers of an expected size: where tensors begin in bytes that are here already, and classes.
One process serves a whole audit, because importing torch takes seconds; it begins before it is needed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dlbc.adapters import heap
from dlbc.adapters.confinement import Confinement, child_environment
from dlbc.adapters.ml.files import read_limited
from dlbc.adapters.ml.shards import samples_at
from dlbc.adapters.ml.weights import weights_at
from dlbc.adapters.scoring_child import STREAMED, TOLD
from dlbc.adapters.scoring_wire import Broken, Piece, receive, send, take
from dlbc.core.architecture import (
    Architecture,
    architecture_to_json,
    flops_per_sample,
    logits_shape,
    tensor_shapes,
)
from dlbc.core.errors import DlbcError, LimitReached, VerificationFailed
from dlbc.ports import Dataset

LEAST_SECONDS = 120.0
"""Of one request, on a machine with other work: the process may still have to start."""
LEAST_BYTES_PER_SECOND = 20 * 10**6
LEAST_FLOPS = 2 * 10**8
"""A second: slower than any machine that can hold a model. What takes longer than its declared operations is ended."""
MOST_FLOPS = 2 * 10**13
"""A second: faster than any. What would take longer all the same is not begun."""
NOT_CONFINED = (
    "this kernel offers nothing that would keep the scoring process from the network: models of strangers run with "
    "limits of memory, time and files only"
)
SURROUNDINGS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
}
"""OpenMP's idle threads sleep instead of spinning; the layers' values lie in large pages, or half of the time is spent
on getting small ones; torch looks for no other packages.
"""
_LAST_SECONDS = 5.0
_ERRORS: Mapping[str, type[DlbcError]] = {kind.__name__: kind for kind in TOLD}

Unconfined = Callable[[str], None]


def unheard(_: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class ScoringLimits:
    """Of one scoring process. seconds: of all requests together, from the beginning; None: what each needs at most."""

    memory_bytes: int | None = None
    seconds: float | None = None


class ConfinedScorer:
    """Implements ports.Scorer. tell: called once with a sentence if nothing keeps the process from the network."""

    def __init__(
        self,
        limits: ScoringLimits | None = None,
        *,
        begins_now: bool = False,
        stays: bool = True,
        tell: Unconfined = unheard,
    ) -> None:
        """begins_now: the process starts at once and imports torch. stays: it is kept for the next request."""
        self._limits, self._stays, self._tell = limits or ScoringLimits(), stays, tell
        self._ends_at = None if self._limits.seconds is None else time.monotonic() + self._limits.seconds
        self._was_told = False
        self._process: _Process | None = None
        heap.keep_one()
        if begins_now:
            self._process = _Process(self._limits.memory_bytes, is_preloading=True)

    def close(self) -> None:
        """Ends the process, if there is one."""
        if self._process is not None:
            self._process.end()
            self._process = None

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._process is None else self._process.pid

    def confinement(self) -> Confinement:
        """What keeps the process in; starts one."""
        process = self._running()
        with _deadline(process, LEAST_SECONDS):
            try:
                held = process.confinement()
            except Broken as error:
                raise LimitReached(self._why(process, LEAST_SECONDS, error)) from error
            finally:
                if not self._stays:
                    self.close()
        if not held.network:
            self._tell_once()
        return held

    # ------------------------------------------------------------------ ports.Scorer

    def parse_dataset(self, data: bytes | bytearray, *, input_shape: Sequence[int], classes: int) -> Dataset:
        request = {"do": "locate samples", "bytes": len(data), "input_shape": list(input_shape), "classes": classes}
        answer, _ = self._ask(request, [data], len(data) / LEAST_BYTES_PER_SECOND)
        samples, x, y = _whole_numbers(answer.get("places"), 3, len(data))
        if samples < 1 or x + 4 * samples * prod(input_shape) > len(data) or y + 8 * samples > len(data):
            raise LimitReached("the scoring process named samples that are not in the file")
        return samples_at(data, input_shape, samples, x, y)

    def check_model(self, model: bytes | Path, architecture: Architecture, *, max_bytes: int) -> dict[str, Any]:
        if isinstance(model, Path):
            model = read_limited(model, max_bytes, "model file", VerificationFailed)
        request = {
            "do": "locate weights",
            "bytes": len(model),
            "max_bytes": max_bytes,
            "architecture": architecture_to_json(architecture),
        }
        answer, _ = self._ask(request, [model], len(model) / LEAST_BYTES_PER_SECOND)
        shapes = tensor_shapes(architecture)
        offsets = _whole_numbers(answer.get("offsets"), len(shapes), len(model))
        if any(offset + 4 * prod(shape) > len(model) for offset, shape in zip(offsets, shapes.values(), strict=True)):
            raise LimitReached("the scoring process named tensors that are not in the file")
        return dict(weights_at(model, architecture, offsets))

    def predict(
        self, weights: Mapping[str, Any], architecture: Architecture, x: NDArray[np.float32], device: str = "cpu"
    ) -> NDArray[np.int64]:
        shape = (len(x), *logits_shape(architecture)[1:])
        found = np.frombuffer(self._score("predict", weights, architecture, x, device, 8 * prod(shape)), "<i8")
        if found.size and not 0 <= int(found.min()) <= int(found.max()) < architecture.classes:
            raise LimitReached("the scoring process named classes that there are not")
        return found.reshape(shape)

    def logits(
        self, weights: Mapping[str, Any], architecture: Architecture, x: NDArray[np.float32], device: str = "cpu"
    ) -> NDArray[np.float32]:
        shape = (len(x), *logits_shape(architecture))
        found = self._score("logits", weights, architecture, x, device, 4 * prod(shape))
        return np.frombuffer(found, "<f4").reshape(shape)

    # ------------------------------------------------------------------ inside

    def _score(
        self,
        what: str,
        weights: Mapping[str, Any],
        architecture: Architecture,
        x: NDArray[np.float32],
        device: str,
        expected_bytes: int,
    ) -> bytearray:
        request = {
            "do": what,
            "samples": len(x),
            "device": device,
            "architecture": architecture_to_json(architecture),
        }
        heap.give_back()
        operations = flops_per_sample(architecture) * len(x)
        left = self._left()
        if left is not None and operations > MOST_FLOPS * left:
            raise LimitReached(
                f"scoring takes {operations:.1e} operations by the task's own terms, more than any machine does in the "
                f"{left:.0f} s that are left"
            )
        arrays = chain((weights[name] for name in tensor_shapes(architecture)), [x])
        pieces = (_bytes_of(np.ascontiguousarray(array, np.float32)) for array in arrays)
        answer, found = self._ask(request, pieces, operations / LEAST_FLOPS, expected_bytes)
        if answer.get("samples") != len(x):
            raise LimitReached("the scoring process answered for another number of samples")
        return found

    def _ask(
        self, request: Mapping[str, Any], pieces: Iterable[Piece], needed: float, expected_bytes: int = 0
    ) -> tuple[dict[str, Any], bytearray]:
        """The answer and what follows it. Raises what went wrong there, and LimitReached if it did not answer."""
        seconds = self._seconds(LEAST_SECONDS + needed)
        process = self._running()
        whole = {**request, "processor_seconds": int(seconds * (os.cpu_count() or 1)) + 1}
        is_well = False
        try:
            with _deadline(process, seconds):
                if not process.confinement().network:
                    self._tell_once()
                answer, found = process.ask(whole, pieces, expected_bytes)
            is_well = "error" not in answer or request["do"] not in STREAMED
        except Broken as error:
            raise LimitReached(self._why(process, seconds, error)) from error
        finally:
            if not (is_well and self._stays):
                self.close()
        if "error" in answer:
            sentence = "".join(letter for letter in str(answer.get("sentence"))[:1_000] if letter.isprintable())
            kind = _ERRORS.get(str(answer["error"]), LimitReached)
            raise kind(f"scoring ended: {sentence}" if kind is LimitReached else sentence)
        return answer, found

    def _running(self) -> _Process:
        if self._process is None:
            self._process = _Process(self._limits.memory_bytes, is_preloading=False)
        return self._process

    def _tell_once(self) -> None:
        if not self._was_told:
            self._was_told = True
            self._tell(NOT_CONFINED)

    def _left(self) -> float | None:
        return None if self._ends_at is None else self._ends_at - time.monotonic()

    def _seconds(self, needed: float) -> float:
        """For one request. Raises LimitReached if there are none left."""
        left = self._left()
        if left is None:
            return needed
        if left <= 0:
            raise LimitReached(f"the {self._limits.seconds:.0f} s for parsing and scoring are over")
        return min(left, needed)

    def _why(self, process: _Process, seconds: float, error: Broken) -> str:
        if process.was_killed:
            return f"parsing or scoring took longer than {seconds:.0f} s and was ended"
        code = process.end(_LAST_SECONDS)  # its pipes are closed: it is ending
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        return f"the scoring process ended {how} ({error})"


class _Process:
    """One child process. Everything here raises Broken once it is gone."""

    def __init__(self, memory_bytes: int | None, *, is_preloading: bool) -> None:
        self._folder = TemporaryDirectory(prefix="dlbc-score-")  # nothing is written there; it is where it is
        words = [str(memory_bytes or 0), "preload" if is_preloading else "wait"]
        environment = {**child_environment(self._folder.name, os.environ), "HOME": self._folder.name}
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-B", "-m", "dlbc.adapters.scoring_child", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._folder.name,
                env=SURROUNDINGS | environment,
            )
        except OSError as error:
            self._folder.cleanup()
            raise LimitReached(f"the scoring process can't be started: {error.strerror}") from error
        self._confinement: Confinement | None = None
        self.was_killed = False
        self._finish = weakref.finalize(self, _finish, self._child, self._folder)

    @property
    def pid(self) -> int:
        return self._child.pid

    def confinement(self) -> Confinement:
        """What it said first."""
        if self._confinement is None:
            said = receive(_pipe(self._child.stdout))
            network = said.get("network")
            if said.get("dlbc_scoring") != 1 or not isinstance(network, list):
                raise Broken("another program than expected")
            self._confinement = Confinement(
                tuple(map(str, network)), said.get("has_no_writes") is True, said.get("has_no_children") is True
            )
        return self._confinement

    def ask(
        self, request: Mapping[str, Any], pieces: Iterable[Piece], expected_bytes: int
    ) -> tuple[dict[str, Any], bytearray]:
        """The answer, and so many bytes after it, unless it is an error."""
        with suppress(Broken):  # it may have said why before it closed its end
            send(_pipe(self._child.stdin), request, pieces)
        answer = receive(_pipe(self._child.stdout))
        return answer, bytearray() if "error" in answer else take(_pipe(self._child.stdout), expected_bytes)

    def kill(self) -> None:
        """Its time is over."""
        self.was_killed = True
        self._child.kill()

    def end(self, patience: float = 0.0) -> int:
        """Its exit code; afterwards nothing is left of it. patience: how long it may still end by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(patience)
        self._finish()
        return self._child.returncode


def _finish(child: subprocess.Popen[bytes], folder: TemporaryDirectory[str]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not flushed
                pipe.close()
    folder.cleanup()


@contextmanager
def _deadline(process: _Process, seconds: float) -> Iterator[None]:
    """Reads and writes of its pipes end when it does."""
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _pipe(pipe: IO[bytes] | None) -> Any:
    assert pipe is not None
    return pipe


def _whole_numbers(value: object, count: int, most: int) -> list[int]:
    """Raises LimitReached for anything else."""
    if not isinstance(value, list) or len(value) != count:
        raise LimitReached("the scoring process did not answer what was asked")
    if not all(type(number) is int and 0 <= number <= most for number in value):
        raise LimitReached("the scoring process named places that are not in the file")
    return value


def _bytes_of(array: NDArray[Any]) -> Piece:
    return array.reshape(-1).view(np.uint8).data if array.size else b""
