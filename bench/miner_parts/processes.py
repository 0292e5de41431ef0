"""`dlbc` commands as processes of their own, what they log, and what the system counts of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from dlbc.adapters.devnet.network import Network

END_SECONDS = 20.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Usage:
    """Of one process and the children it has waited for; seconds of processor time, bytes of memory."""

    cpu_seconds: float
    resident_bytes: int
    peak_bytes: int


class Command:
    """`with Command(network, folder, "miner1", "miner", "run") as miner:` runs it; the end of the block ends it."""

    def __init__(self, network: Network, folder: Path, account: str, *arguments: str, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.iterdir()))
        self.out, self.err = folder / f"{number}.out", folder / f"{number}.err"
        self._words = [sys.executable, "-m", "dlbc", *arguments]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DLBC_")}
        own = {"home": str(network.home), "account": account, "torch_threads": "1", **settings}
        self._environment = clean | {f"DLBC_{name.upper()}": value for name, value in own.items()}

    def __enter__(self) -> Command:
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self._process = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._environment,
                start_new_session=True,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def events(self, name: str) -> list[dict[str, Any]]:
        """What it logged under an event's name so far."""
        found = []
        for line in self.err.read_text().splitlines():
            with suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and event.get("event") == name:
                    found.append(event)
        return found

    def until(self, condition: Callable[[], object], what: str, seconds: float) -> None:
        """Waits for a condition. Raises SystemExit with what the command said last if it does not come."""
        deadline = time.monotonic() + seconds
        while True:
            code = self._process.poll()
            if condition():
                return
            if code is not None or time.monotonic() > deadline:
                ended = f"the command ended with code {code}" if code is not None else f"{seconds:.0f} s were over"
                raise SystemExit(f"{ended} before {what}: {self.err.read_text()[-1500:]}")
            time.sleep(POLL_SECONDS)

    def wait(self, seconds: float) -> dict[str, Any]:
        """Until it ends; with --json, what it told. Raises SystemExit if it failed."""
        code = self._process.wait(seconds)
        if code:
            raise SystemExit(f"{' '.join(self._words)} ended with code {code}: {self.err.read_text()[-1500:]}")
        text = self.out.read_text()
        return json.loads(text) if text.startswith("{") else {}

    def usage(self) -> Usage:
        """From /proc."""
        folder = Path("/proc") / str(self._process.pid)
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime: 14 to 17 of proc(5)
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        resident, peak = (1024 * int(status[name].split()[0]) for name in ("VmRSS", "VmHWM"))
        return Usage(ticks / os.sysconf("SC_CLK_TCK"), resident, peak)
