"""The demo's actors: each a process of its own, followed through the events it logs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlbc.core.errors import DlbcError, Refused

_END_SECONDS = 15.0


@dataclass(slots=True)
class Actor:
    """One `python -m dlbc …` process. Its events are the JSON lines of its stderr."""

    name: str
    who: str  # it acts as; the view has one row for each
    process: subprocess.Popen[bytes]
    output: Path
    log: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    is_expected_to_end: bool = False
    _offset: int = 0

    def read_events(self) -> list[dict[str, Any]]:
        """What it logged since the last call."""
        with self.log.open("rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        new = []
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    new.append(event)
        self.events.extend(new)
        return new

    def check_alive(self) -> None:
        """Raises Refused with its last words if it ended and should not have, or failed."""
        code = self.process.poll()
        if code is not None and (code or not self.is_expected_to_end):
            raise Refused(f"{self.name} ended with exit code {code}: {self._last_words()} (see {self.log})")

    def wait(self, seconds: float, *, codes: Sequence[int] = (0,)) -> int:
        """Waits for its end; raises Refused if it takes too long or ends with another code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise Refused(f"{self.name} did not end within {seconds:.0f} s (see {self.log})") from error
        if code not in codes:
            raise Refused(f"{self.name} ended with exit code {code}: {self._last_words()} (see {self.log})")
        return code

    def answer(self) -> dict[str, Any]:
        """The JSON object it printed."""
        try:
            value = json.loads(self.output.read_bytes())
        except ValueError as error:
            raise DlbcError(f"{self.name} printed no JSON object (see {self.output})") from error
        if not isinstance(value, dict):
            raise DlbcError(f"{self.name} printed no JSON object (see {self.output})")
        return value

    def kill(self) -> None:
        """SIGKILL: what a power cut looks like."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Asks it to end, then insists. By process id, and only if it is still ours."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"


def start_actor(
    name: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    *,
    who: str = "",
    module: str = "dlbc",
) -> Actor:
    """Starts `python -m dlbc` with these arguments; the system ends it when this process ends (where setpriv is)."""
    folder.mkdir(parents=True, exist_ok=True)
    output, log = folder / f"{name}.out", folder / f"{name}.log"
    command = [sys.executable, "-m", module, *arguments]
    setpriv = shutil.which("setpriv")
    if setpriv is not None:
        command = [setpriv, "--pdeathsig", "TERM", "--", *command]
    with output.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**_clean_environment(), **environment},
            start_new_session=True,
        )
    return Actor(name, who or name, process, output, log)


def _clean_environment() -> dict[str, str]:
    """Ours without settings of another network."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DLBC_")}
