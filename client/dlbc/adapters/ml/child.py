"""The training child: `python -m dlbc.adapters.ml.child WORK`, keys as one JSON line on standard input.

Reads WORK/job.json, writes model.safetensors and result.json, and tells how it goes in progress.json. Ends at once
when standard input closes: its parent is gone and will start it again, and a checkpoint is never half written.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from dlbc.adapters.ml import group
from dlbc.adapters.ml.files import read_json, write_json
from dlbc.adapters.ml.job_file import fingerprint
from dlbc.adapters.ml.rank import Assignment
from dlbc.adapters.ml.report import NO_ROOM, Reporter
from dlbc.core.devices import members
from dlbc.core.errors import DlbcError, Refused

LOCK_SECONDS = 15.0
INTERRUPTED = 75
LACKS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
"""What the machine may have again later, no fault of the training."""


def main(work: Path) -> int:
    """Exit code 0 when the model is there, 1 when it can't be made; progress.json says why in one line.

    NO_ROOM when the machine has none to write in, not even what is wrong: started again, it goes on.
    """
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
        reporter.catch_up()
        reporter.tell(state="failed", message=str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - the last place that can tell the parent what happened
        with suppress(OSError):
            traceback.print_exc()
        if isinstance(error, OSError) and error.errno in LACKS:
            return NO_ROOM
        reporter.catch_up()
        reporter.tell(state="failed", message=f"{type(error).__name__}: {str(error)[:300]}; see {work / 'child.log'}")
        return 1
    return 0


def _train(work: Path, job_json: dict[str, Any], secrets: dict[str, Any], reporter: Reporter, began: float) -> None:
    name = fingerprint(job_json, secrets)
    done = read_json(work / "result.json")
    if done is None or done["fingerprint"] != name or not (work / "model.safetensors").is_file():
        (work / "result.json").unlink(missing_ok=True)
        threads = int(os.environ.get("DLBC_TORCH_THREADS") or os.cpu_count() or 1)
        whole = Assignment(
            work=work,
            folder=work,
            rank=0,
            devices=members(job_json["device"]),
            threads=threads,
            job=job_json,
            secrets=secrets,
            fingerprint=name,
            began=began,
        )
        done = {"fingerprint": name, **group.train(whole, reporter)}
        write_json(work / "result.json", done)
    reporter.catch_up()
    reporter.tell(
        state="done",
        epoch=done["epochs"],
        epochs=done["epochs"],
        validation_ppm=done["validation_ppm"],
        message=_summary(done),
    )


def _summary(done: dict[str, Any]) -> str:
    why = {"time": ", as long as there was time", "patience": ", until validation did not improve any more"}
    ranks = done.get("ranks", 1)
    where = f"{ranks} ranks of {done['device']}" if ranks > 1 else done["device"]
    return f"trained on {where} in {done['seconds']:.1f} s{why.get(done.get('ended', ''), '')}"


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
    while os.read(0, 1024):  # not through sys.stdin: its lock would be held while the interpreter ends
        pass
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
