"""One hostile input, what has to come of it, and what did: the verdict, the seconds, the memory."""

from __future__ import annotations

import os
import re
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dlbc.core.errors import DlbcError, Refused, TryLater, VerificationFailed

from hostile.stage import Stage

MOST_SECONDS = 60.0
"""On a machine with other work; most take milliseconds."""
MOST_BYTES = 300 * 2**20
"""Of memory beyond what was there before, in this process or in the scoring process."""


@dataclass(frozen=True, slots=True)
class Case:
    """`area` says who publishes what, and where it is looked at; `run` gives the outcome, or raises what users see."""

    area: str
    name: str
    expected: str
    run: Callable[[Stage], object]

    @property
    def id(self) -> str:
        """For pytest and tables."""
        return f"{self.area}: {self.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one case."""

    verdict: str
    sentence: str
    seconds: float
    peak_bytes: int


def judge(case: Case, stage: Stage) -> Outcome:
    """Runs a case. Any exception but the client's own errors comes through: it is a bug."""
    watch = Memory(stage.scoring_pid)
    began = time.perf_counter()
    sentence = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            verdict = str(case.run(stage))
    except DlbcError as error:
        verdict, sentence = _kind(error), str(error)
    seconds = time.perf_counter() - began
    peak = watch.peak(stage.scoring_pid)
    verdict, _, told = verdict.partition(" | ")
    return Outcome(verdict, printable(sentence or told), seconds, peak)


def printable(sentence: str) -> str:
    """Without what could steer a terminal, a table or a page."""
    text = "".join(letter if letter.isprintable() else "?" for letter in sentence)
    return re.sub(r"/\S*/(?=[^/\s]+)", "", text)[:300]


def _kind(error: DlbcError) -> str:
    if isinstance(error, TryLater):
        return "try later"
    if isinstance(error, Refused | VerificationFailed):
        return "refused"
    return type(error).__name__


class Memory:
    """The most memory that this process and the scoring process have from now on, beyond what they have now (Linux)."""

    def __init__(self, *others: int | None) -> None:
        self._before = {pid: _reset(pid) for pid in (os.getpid(), *others) if pid is not None}

    def peak(self, *others: int | None) -> int:
        """The larger growth of the two; 0 where the kernel does not tell."""
        known = [pid for pid in (os.getpid(), *others) if pid in self._before]
        return max(0, *(_status(pid, "VmHWM") - self._before[pid] for pid in known))


def _reset(pid: int) -> int:
    """Sets the high-water mark back, and returns where it is then."""
    if sys.platform != "linux":
        return 0
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return _status(pid, "VmHWM")
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> int:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0
