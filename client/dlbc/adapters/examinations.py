"""ports.Examinations as child processes: `dlbc auditor examine`, without account or key, within limits.

What strangers publish is fetched and unsealed there; parsed and scored in a process that the child starts, which has
no network (`dlbc.adapters.scoring`). A child that takes too long is killed; one that wants more memory or larger files
than it may have ends by itself (`dlbc.adapters.confinement`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from dlbc.adapters.confinement import child_environment
from dlbc.config import FILE_NAME, Config
from dlbc.core.errors import BadInput, DlbcError, LimitReached, TryLater
from dlbc.core.examination import MAX_BYTES, Examination, examination_from_json
from dlbc.core.types import TaskId
from dlbc.ports import Examining

OWN_SHARE = 0.9
"""Of its time, after which a child gives up what it waits for by itself, and says what it found until then."""
_LAST_WORDS = 300
_MAX_ERROR = 65_536
_AGAIN = ("LimitReached", "DlbcError")
"""Errors of a child that it would end with again: a limit, and what nobody foresaw."""


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """Of one examination."""

    seconds: float = 3600.0
    memory_bytes: int = 8 * 2**30
    file_bytes: int = 64 * 2**30


@dataclass(frozen=True, slots=True)
class ChildExaminations:
    """Implements ports.Examinations for one configured market."""

    config: Config
    limits: ChildLimits = field(default_factory=ChildLimits)

    def start(self, task_id: TaskId, *, test_set: bool) -> Examining:
        """A child process; the temporary folder in which it works goes with it."""
        folder = TemporaryDirectory(prefix="dlbc-examine-")  # which nobody else can read
        (Path(folder.name) / FILE_NAME).write_text(child_settings(self.config), encoding="utf-8")
        words = [
            *(sys.executable, "-m", "dlbc", "auditor", "examine", str(task_id), "--json"),
            *("--most-memory", str(self.limits.memory_bytes), "--largest-file", str(self.limits.file_bytes)),
            *("--most-seconds", str(max(1, int(self.limits.seconds * OWN_SHARE)))),
            *(["--test-set"] if test_set else []),
        ]
        with (Path(folder.name) / "out").open("wb") as out, (Path(folder.name) / "err").open("wb") as err:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder.name,
                env=child_environment(folder.name, os.environ),
                start_new_session=True,
            )
        return ChildExamining(process, folder, self.limits.seconds)


class ChildExamining:
    """Implements ports.Examining."""

    def __init__(self, process: subprocess.Popen[bytes], folder: TemporaryDirectory[str], seconds: float) -> None:
        self._process, self._folder, self._seconds = process, folder, seconds
        self._ends_at = time.monotonic() + seconds

    def poll(self) -> Examination | None:
        """As ports.Examining says; afterwards nothing of the child is left."""
        code = self._process.poll()
        if code is None:
            if time.monotonic() < self._ends_at:
                return None
            self.stop()
            raise LimitReached(f"the examination took longer than {self._seconds:.0f} s and was ended")
        try:
            return self._result(code)
        finally:
            self._folder.cleanup()

    def stop(self) -> None:
        """As ports.Examining says."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        self._process.wait()
        self._folder.cleanup()

    def _result(self, code: int) -> Examination:
        if code < 0:
            raise LimitReached(f"the examination was ended by signal {-code}{self._last_words()}")
        if code != 0:
            raise self._kind()(f"the examination ended with code {code}{self._last_words()}")
        try:
            return examination_from_json(self._said(MAX_BYTES))
        except BadInput as error:
            raise LimitReached(f"the examination did not say what it found: {error}") from error

    def _kind(self) -> type[DlbcError]:
        """LimitReached if it would end so again."""
        try:
            kind = json.loads(self._said(_MAX_ERROR))["error"]["kind"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return LimitReached  # not even an error of ours
        return LimitReached if kind in _AGAIN else TryLater

    def _said(self, most: int) -> bytes:
        with (Path(self._folder.name) / "out").open("rb") as out:
            return out.read(most + 1)

    def _last_words(self) -> str:
        with (Path(self._folder.name) / "err").open("rb") as err:
            err.seek(0, os.SEEK_END)
            err.seek(max(0, err.tell() - 8 * _LAST_WORDS))
            lines = err.read().decode("utf-8", "replace").strip().splitlines()
        return f": {lines[-1][:_LAST_WORDS]}" if lines else ""


def child_settings(config: Config) -> str:
    """Where the market is, as a file: providers put secret keys into RPC URLs, and an environment is easily shown."""
    public = {
        "rpc_url": config.rpc_url,
        "ipfs_api": config.ipfs_api,
        "market": config.market,
        "lens": config.lens,
        "chain_id": config.chain_id,
        "deployment_block": config.deployment_block,
    }
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in public.items() if value is not None)
