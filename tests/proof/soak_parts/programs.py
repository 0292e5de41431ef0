"""`dlbc` commands as a service manager has them: started, killed, started again, asked to end; and what each cost."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESTART_SECONDS = 1.0
"""RestartSec= of a service."""
END_SECONDS = 20.0
ANSWER_SECONDS = 2.0
LOOK_SECONDS = 1.0
ATTEMPTS = 25
KILLED = -signal.SIGKILL
_OK_TICKS = re.compile(rb'^dlbc_ticks_total\{result="ok"\} ([0-9.e+]+)', re.MULTILINE)
_TICK_AGE = re.compile(rb"^dlbc_tick_age_seconds ([0-9.e+-]+)", re.MULTILINE)


@dataclass
class Life:
    """From one start to one end; times are seconds of the run."""

    began: float
    err: Path
    ready: float | None = None  # when its first tick had succeeded, or its work was done
    ended: float | None = None
    code: int | None = None
    peak_bytes: int = 0
    child_peak_bytes: int = 0
    worst_tick_age: float = 0.0

    @property
    def was_killed(self) -> bool:
        return self.code == KILLED

    @property
    def was_asked_too_early(self) -> bool:
        """SIGTERM met a Python that had not come to dlbc's first line, and so did nothing yet."""
        return self.code == -signal.SIGTERM and self.ready is None and not self.err.read_bytes()


@dataclass
class Program:
    """One command, over all of its lives."""

    name: str
    words: list[str]
    environment: dict[str, str]
    folder: Path
    lives: list[Life] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def begin(self, now: float) -> None:
        """A new life."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = len(self.lives)
        out, err = (self.folder / f"{self.name}.{number}.{kind}" for kind in ("out", "err"))
        with out.open("wb") as to_out, err.open("wb") as to_err:
            self.process = subprocess.Popen(
                [*_dying_with_us(), sys.executable, "-m", "dlbc", *self.words],
                stdin=subprocess.DEVNULL,
                stdout=to_out,
                stderr=to_err,
                env=self.environment,
                start_new_session=True,
            )
        self.lives.append(Life(now, err))

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def life(self) -> Life:
        """The present one, or the last."""
        return self.lives[-1]

    def kill(self) -> None:
        """SIGKILL to it alone: what it started has to notice."""
        self.note_memory()
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask_to_end(self) -> None:
        """SIGTERM."""
        if self.is_alive and self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def bury(self, now: float) -> bool:
        """Notes the end of a life that ended; False if there is none to note."""
        if self.process is None or self.process.poll() is None:
            return False
        self.life.ended, self.life.code = now, self.process.returncode
        self.process = None
        return True

    def note_memory(self) -> None:
        """The most that it and its children had resident so far."""
        if self.process is None:
            return
        pid = self.process.pid
        self.life.peak_bytes = max(self.life.peak_bytes, peak_of(pid))
        for child in children_of(pid):
            self.life.child_peak_bytes = max(self.life.child_peak_bytes, peak_of(child))

    def answer(self) -> dict[str, Any]:
        """What the last life printed with --json; {} if it is none."""
        with suppress(ValueError, OSError):
            found = json.loads(self.life.err.with_suffix(".out").read_text())
            if isinstance(found, dict):
                return found
        return {}

    def last_words(self) -> str:
        """The end of its stderr."""
        lines = self.life.err.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    def events(self) -> Iterator[dict[str, Any]]:
        """What it logged, in all lives; each with `life`, its number."""
        for number, life in enumerate(self.lives):
            for line in life.err.read_text(errors="replace").splitlines():
                with suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict) and "event" in event:
                        yield {**event, "life": number}


class Daemon(Program):
    """Kept running until it is dismissed; `port` serves its figures."""

    def __init__(self, name: str, words: list[str], environment: dict[str, str], folder: Path, port: int) -> None:
        super().__init__(name, words, {**environment, "DLBC_METRICS_PORT": str(port)}, folder)
        self.port = port
        self.dismissed_at: float | None = None
        self.complaints: list[str] = []
        self._again_at = 0.0
        self._look_at = 0.0

    def look(self, now: float) -> None:
        """One look: notes an end, starts again, asks how it is."""
        if self.bury(now):
            self._after_its_end(now)
        elif self.is_alive:
            if now >= self._look_at:
                self._look_at = now + LOOK_SECONDS
                self._ask(now)
            if self.dismissed_at is not None and now > self.dismissed_at + END_SECONDS:
                self.complaints.append(f"{self.name} did not end within {END_SECONDS:.0f} s of SIGTERM")
                self.kill()
        elif self.dismissed_at is None and now >= self._again_at:
            self.begin(now)

    def dismiss(self, now: float) -> None:
        """Asks it to end; `has_left` once it has."""
        if self.dismissed_at is None:
            self.dismissed_at = now
            self.ask_to_end()

    @property
    def has_left(self) -> bool:
        return self.dismissed_at is not None and not self.is_alive and self.process is None

    def tick_age(self) -> float | None:
        """Seconds since a tick of it succeeded; None if it does not answer, or none did yet."""
        page = self._page()
        ok, age = _OK_TICKS.search(page), _TICK_AGE.search(page)
        return float(age[1]) if ok and age and float(ok[1]) > 0 else None

    def _after_its_end(self, now: float) -> None:
        life = self.life
        self._again_at = now + RESTART_SECONDS
        if life.was_killed or (self.dismissed_at is not None and life.was_asked_too_early):
            return  # begins again, unless it was dismissed
        if life.code == 0 and (self.dismissed_at is not None or self.words[0] == "task"):
            self.dismissed_at = now if self.dismissed_at is None else self.dismissed_at  # a watch whose tasks are over
            return
        self.complaints.append(f"{self.name} ended with code {life.code} by itself: {self.last_words()}")

    def _ask(self, now: float) -> None:
        age = self.tick_age()
        if age is None:
            return
        if self.life.ready is None:
            self.life.ready = now
        self.life.worst_tick_age = max(self.life.worst_tick_age, age)

    def _page(self) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return b""
        finally:
            connection.close()


class Command(Program):
    """Run until it ends with one of `accepted`; what is killed or told to try later runs again."""

    def __init__(
        self, name: str, words: list[str], environment: dict[str, str], folder: Path, accepted: tuple[int, ...] = (0,)
    ) -> None:
        super().__init__(name, [*words, "--json"], environment, folder)
        self.accepted = accepted
        self.complaints: list[str] = []
        self.is_over = False
        self._again_at = 0.0

    def look(self, now: float) -> None:
        """One look: notes an end, and starts again unless that was the last."""
        if self.bury(now):
            self._again_at = now + RESTART_SECONDS
            code = self.life.code
            if code in self.accepted:
                self.life.ready = now
                self.is_over = True
            elif code not in (KILLED, 3) or len(self.lives) >= ATTEMPTS:
                self.complaints.append(f"{self.name} ended with code {code}: {self.last_words()}")
                self.is_over = True
        elif not self.is_over and not self.is_alive and now >= self._again_at:
            self.begin(now)


def _dying_with_us() -> list[str]:
    """Nothing is left if this process is killed itself; where setpriv is."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def peak_of(pid: int) -> int:
    """VmHWM of proc(5) in bytes; 0 if it is gone."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def children_of(pid: int) -> list[int]:
    """Direct children."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def left_behind(home: Path) -> list[str]:
    """Processes, other than this one, whose environment names this home folder."""
    wanted = f"DLBC_HOME={home}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                found.append(f"{folder.name}: {words[:120]}")
    return found
