"""The training child: `python -m dlbc.adapters.ml.child WORK`, keys as one JSON line on standard input.

Reads WORK/job.json, writes model.safetensors and result.json, and tells how it goes in progress.json. Ends at once
when standard input closes: its parent is gone and will start it again, and a checkpoint is never half written.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, Any

from dlbc.adapters.ml.files import read_json, write_json
from dlbc.core.architecture import architecture_from_json
from dlbc.core.errors import DlbcError, Refused
from dlbc.ports import TrainJob

LOCK_SECONDS = 15.0
REPORT_SECONDS = 0.5
INTERRUPTED = 75


class Reporter:
    """Writes progress.json, at most every half second unless the state changes."""

    def __init__(self, work: Path, epochs: int) -> None:
        self._path = work / "progress.json"
        self._now: dict[str, Any] = {"state": "starting", "epoch": 0, "epochs": epochs, "loss": None}
        self._now |= {"validation_ppm": None, "message": ""}
        self._next = 0.0

    def is_due(self) -> bool:
        """Enough time has passed for another report; ask before computing what to say."""
        return time.monotonic() >= self._next

    def tell(self, **changes: object) -> None:
        self._now |= changes
        write_json(self._path, self._now)
        self._next = time.monotonic() + REPORT_SECONDS


def main(work: Path) -> int:
    """Exit code 0 when the model is there, 1 when it can't be made; progress.json says why in one line."""
    began = time.monotonic()
    job_json = json.loads((work / "job.json").read_bytes())
    secrets = json.loads(sys.stdin.buffer.readline() or b"{}")
    if not secrets:
        return INTERRUPTED
    threading.Thread(target=_end_with_parent, daemon=True).start()
    reporter = Reporter(work, job_json["epochs"])
    try:
        with (work / "lock").open("w") as lock:
            _take(lock, work)
            _train(work, job_json, secrets, reporter, began)
    except DlbcError as error:
        traceback.print_exc()
        reporter.tell(state="failed", message=str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - the last place that can tell the parent what happened
        traceback.print_exc()
        reporter.tell(state="failed", message=f"{type(error).__name__}: {str(error)[:300]}; see {work / 'child.log'}")
        return 1
    return 0


def _train(work: Path, job_json: dict[str, Any], secrets: dict[str, Any], reporter: Reporter, began: float) -> None:
    named = {name: value for name, value in job_json.items() if name != "budget"}  # less of it after a restart
    fingerprint = hashlib.sha256(json.dumps([named, secrets], sort_keys=True).encode()).hexdigest()
    done = read_json(work / "result.json")
    if done is None or done["fingerprint"] != fingerprint or not (work / "model.safetensors").is_file():
        import torch

        from dlbc.adapters.ml.training import run

        torch.set_num_threads(int(os.environ.get("DLBC_TORCH_THREADS") or os.cpu_count() or 1))
        (work / "result.json").unlink(missing_ok=True)
        done = {"fingerprint": fingerprint, **run(_job(work, job_json, secrets), fingerprint, reporter, began)}
        write_json(work / "result.json", done)
    reporter.tell(
        state="done",
        epoch=done["epochs"],
        epochs=done["epochs"],
        validation_ppm=done["validation_ppm"],
        message=_summary(done),
    )


def _summary(done: dict[str, Any]) -> str:
    why = {"time": ", as long as there was time", "patience": ", until validation did not improve any more"}
    return f"trained on {done['device']} in {done['seconds']:.1f} s{why.get(done.get('ended', ''), '')}"


def _job(work: Path, job_json: dict[str, Any], secrets: dict[str, Any]) -> TrainJob:
    return TrainJob(
        work=work,
        architecture=architecture_from_json(job_json["architecture"]),
        shards=tuple(Path(path) for path in job_json["shards"]),
        epochs=job_json["epochs"],
        batch=job_json["batch"],
        learning_rate=job_json["learning_rate"],
        device=job_json["device"],
        seed=job_json["seed"],
        init_key=bytes.fromhex(secrets["init_key"]),
        slot_keys=tuple(bytes.fromhex(key) for key in secrets["slot_keys"]),
        payloads=tuple(bytes.fromhex(payload) for payload in secrets["payloads"]),
        start=None if job_json["start"] is None else Path(job_json["start"]),
        **{name: job_json[name] for name in ("budget", "patience", "deterministic", "strategy")},
    )


def _take(lock: IO[str], work: Path) -> None:
    """One child per folder; a predecessor that is just ending gets a few seconds."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Refused(f"training: another process is training in {work}; wait for it or end it") from None
            time.sleep(0.1)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
