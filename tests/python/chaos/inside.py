"""What happens inside a miner's process: it tells the points that it passes, and may be made to die at one of them.

Imported by the parent for `Trap` and run in children that were forked from a process that has imported dlbc already.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PRELOADED = ["dlbc.cli.main", "dlbc.bootstrap", "dlbc.roles.miner", "dlbc.adapters.chain.web3_chain", "torch", "inside"]


@dataclass(frozen=True, slots=True)
class Trap:
    """What is wrong in this process."""

    die_at: str = ""
    """A point of `Points`, such as "after journal entry sealed #1"."""
    skew_seconds: float = 0.0
    """How far its clock is ahead."""


class Points:
    """Counts the points that are passed and writes each name to a file before going on; dies at the chosen one."""

    def __init__(self, file: Path, die_at: str) -> None:
        self._file, self._die_at = file, die_at
        self._seen: Counter[str] = Counter()

    def passing(self, what: str) -> None:
        """`what` says where; the same place gets #1, #2 … as often as it is passed."""
        self._seen[what] += 1
        name = f"{what} #{self._seen[what]}"
        with self._file.open("a") as stream:
            stream.write(name + "\n")
        if name == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def run(
    arguments: list[str], environment: Mapping[str, str], points: Path, log: Connection, out: Path, trap: Trap
) -> None:
    """One `dlbc` command in this process; its log goes to `log`, so that a full disk does not silence it."""
    os.setsid()
    os.dup2(log.fileno(), 2)
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    _watch(Points(points, trap.die_at))
    if trap.skew_seconds:
        _skew(trap.skew_seconds)
    from dlbc.cli.main import run as command

    code = command(arguments)
    sys.stdout.flush()
    os._exit(code)


def _watch(points: Points) -> None:
    from dlbc.adapters.chain.transactions import Sender
    from dlbc.adapters.journal.sqlite import SqliteJournal
    from dlbc.adapters.ml.trainer import ChildHandle, TorchTrainer
    from dlbc.adapters.storage.ipfs import IpfsStorage

    _around(SqliteJournal, "put", points, lambda journal, kind, key, record: f"journal {kind} {_stage(record)}")
    _around(Sender, "send", points, lambda sender, call, *rest: f"transaction {call}")
    _around(Sender, "_broadcast", points, lambda sender, flight: f"broadcast {flight.call}")
    _around(IpfsStorage, "add", points, lambda storage, data: "IPFS add")
    _around(TorchTrainer, "start", points, lambda trainer, job: "training child")
    _around(ChildHandle, "poll", points, lambda handle: "look at training")


def _stage(record: Mapping[str, Any]) -> str:
    return " ".join(str(record[name]) for name in ("stage", "done") if name in record)


def _around(owner: type, name: str, points: Points, told: Callable[..., str]) -> None:
    honest = getattr(owner, name)

    def watched(*arguments: Any, **keys: Any) -> Any:
        what = told(*arguments, **keys)
        points.passing(f"before {what}")
        answer = honest(*arguments, **keys)
        points.passing(f"after {what}")
        return answer

    setattr(owner, name, watched)


def _skew(seconds: float) -> None:
    honest = time.time
    time.time = lambda: honest() + seconds
