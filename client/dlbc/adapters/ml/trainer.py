"""The Trainer port: training in a child process, everything else in this one. No torch until it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.adapters.ml import shards, weights
from dlbc.adapters.ml.files import read_json, write_json
from dlbc.adapters.ml.job_file import public_part, secret_part
from dlbc.adapters.ml.report import NO_ROOM
from dlbc.core.architecture import Architecture
from dlbc.core.errors import Refused
from dlbc.core.strategy_name import BUILT_IN
from dlbc.ports import Dataset, TrainHandle, TrainJob, TrainProgress, TrainResult

LAST_WORDS = 300
GRACE_SECONDS = 60.0
"""Past its budget a child may still validate, mark and save for so long."""
SHARED_CORES = ("OMP_WAIT_POLICY", "PASSIVE")
"""OpenMP's idle threads sleep instead of spinning: with three miners on two cores spinning costs tenfold."""


class TorchTrainer:
    """Implements ports.Trainer with torch and safetensors."""

    def __init__(self, grace: float = GRACE_SECONDS) -> None:
        self._grace = grace

    def start(self, job: TrainJob) -> TrainHandle:
        """Starts, or resumes, the job in its work folder. A child that outlives its budget by the grace is ended.

        Keys go to the child through its standard input; they are neither in its arguments nor on disk. The child ends
        when that pipe closes, so it never outlives this process.
        """
        job.work.mkdir(parents=True, exist_ok=True)
        write_json(job.work / "job.json", public_part(job))
        write_json(
            job.work / "progress.json",
            {"state": "starting", "epoch": 0, "epochs": job.epochs, "loss": None, "validation_ppm": None},
        )
        with (job.work / "child.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *_place(job.strategy), "-m", "dlbc.adapters.ml.child", str(job.work)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={SHARED_CORES[0]: SHARED_CORES[1], **os.environ},
            )
        handle = ChildHandle(process, job.work, None if job.budget is None else job.budget + self._grace)
        handle.tell(secret_part(job))
        return handle

    def load_dataset(self, paths: Sequence[Path], *, input_shape: Sequence[int], classes: int) -> Dataset:
        return shards.load_dataset(paths, input_shape=input_shape, classes=classes)

    def parse_dataset(self, data: bytes | bytearray, *, input_shape: Sequence[int], classes: int) -> Dataset:
        return shards.parse_dataset(data, input_shape=input_shape, classes=classes)

    def check_model(self, model: bytes | Path, architecture: Architecture, *, max_bytes: int) -> dict[str, Any]:
        return dict(weights.check_model(model, architecture, max_bytes=max_bytes))

    def predict(
        self,
        weights: Mapping[str, Any],
        architecture: Architecture,
        x: NDArray[np.float32],
        device: str = "cpu",
    ) -> NDArray[np.int64]:
        os.environ.setdefault(*SHARED_CORES)  # read once, when torch is first imported: by the next line
        from dlbc.adapters.ml.evaluate import predict

        return predict(weights, architecture, x, device)

    def logits(
        self,
        weights: Mapping[str, Any],
        architecture: Architecture,
        x: NDArray[np.float32],
        device: str = "cpu",
    ) -> NDArray[np.float32]:
        os.environ.setdefault(*SHARED_CORES)  # as in predict
        from dlbc.adapters.ml.evaluate import logits

        return logits(weights, architecture, x, device)


def _place(strategy: str) -> tuple[str, ...]:
    """Only for the operator's own strategy is code looked for in the current folder: another user may write there."""
    return ("-P",) if strategy in BUILT_IN else ()


class ChildHandle:
    """One training child process, read through the files it renames into place."""

    def __init__(self, process: subprocess.Popen[bytes], work: Path, most_seconds: float | None = None) -> None:
        self._process = process
        self._work = work
        self._most_seconds, self._began = most_seconds, time.monotonic()
        self._is_overdue = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, secrets: Mapping[str, Any]) -> None:
        """Sends the keys; the pipe stays open for as long as the child may live."""
        if self._process.stdin is None:
            raise Refused("training: the child was expected to read its keys from a pipe, it has none")
        with suppress(BrokenPipeError):  # it died already; poll() tells why
            self._process.stdin.write(json.dumps(secrets).encode() + b"\n")
            self._process.stdin.flush()

    def poll(self) -> TrainProgress:
        code = self._process.poll()
        found = read_json(self._work / "progress.json") or {}
        progress = TrainProgress(
            state=str(found.get("state", "starting")),
            epoch=int(found.get("epoch", 0)),
            epochs=int(found.get("epochs", 0)),
            loss=found.get("loss"),
            validation_ppm=found.get("validation_ppm"),
            message=str(found.get("message", "")),
        )
        if code is None and self._may_go_on():
            return progress
        code = self._process.wait()
        self._close()
        if code == NO_ROOM:
            raise OSError(ENOSPC, f"no room to write in{self._last_words()}")
        if progress.state in ("done", "failed"):
            return progress
        if self._is_overdue:
            message = (
                f"training was expected to end within {self._most_seconds:.0f} s, grace included, and was stopped; "
                "a strategy has to return before task.seconds_left() is 0"
            )
            return replace(progress, state="failed", message=message)
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        message = f"the training process {how}; start it again to resume{self._last_words()}"
        return replace(progress, state="failed", message=message, may_resume=True)

    def result(self) -> TrainResult:
        progress = self.poll()
        found = read_json(self._work / "result.json") if progress.state == "done" else None
        if found is None:
            raise Refused(
                f"training: expected it to be done, it is {progress.state}: {progress.message or 'no message'}"
            )
        return TrainResult(
            model=self._work / "model.safetensors",
            model_bytes=int(found["model_bytes"]),
            validation_ppm=int(found["validation_ppm"]),
            epochs=int(found["epochs"]),
            seconds=float(found["seconds"]),
            device=str(found["device"]),
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._close()

    def _may_go_on(self) -> bool:
        """False if the child is long past its budget; it is dead then."""
        if self._most_seconds is None or time.monotonic() - self._began < self._most_seconds:
            return True
        self._is_overdue = True
        self.kill()
        return False

    def _close(self) -> None:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def _last_words(self) -> str:
        log = (self._work / "child.log").read_bytes()[-4096:].decode(errors="replace").strip()
        return f" ({log.splitlines()[-1][:LAST_WORDS]})" if log else ""
