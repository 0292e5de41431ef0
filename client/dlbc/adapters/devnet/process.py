"""Processes that outlive the command that started them: known by id and start time, so that no stranger is killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlbc.core.errors import Refused, TryLater

_POLL_SECONDS = 0.02
_TERMINATE_SECONDS = 10.0
_KILL_SECONDS = 5.0
_PORTS = range(20_000, 32_768)  # Linux gives 32768 to 60999 to outgoing connections, others 49152 and up
_PORT_TRIES = 100


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the local network; `started` is what the system says of its start."""

    name: str
    pid: int
    started: str
    port: int

    @property
    def is_running(self) -> bool:
        """This very process, not another that got its id."""
        return bool(self.started) and start_of(self.pid) == self.started


def start_of(pid: int) -> str:
    """Tells two processes with the same id apart; "" when none runs (one that only waits for its parent does not)."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _start_by_ps(pid)
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # state and starttime, fields 3 and 22 of proc(5)


def start(name: str, command: Sequence[str | Path], port: int, log: Path, *, dies_with_parent: bool) -> Process:
    """Starts a process in a session of its own, with its output in `log`.

    With `dies_with_parent` the system ends it when the calling thread ends, however that happens (where setpriv is).
    """
    words = [str(word) for word in command]
    setpriv = shutil.which("setpriv") if dies_with_parent else None
    if setpriv is not None:
        words = [setpriv, "--pdeathsig", "TERM", "--", *words]
    log.parent.mkdir(parents=True, exist_ok=True)
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        # Not subprocess: it expects whoever starts a process to stay with it until it ends.
        pid = os.posix_spawnp(words[0], words, os.environ, file_actions=files, setsid=True)
    except OSError as error:
        raise Refused(f"{words[0]} can't be started: {error.strerror}") from error
    return Process(name, pid, start_of(pid), port)


def stop(process: Process) -> bool:
    """Asks it to end, waits, insists. False when it was not running. Raises TryLater when it survives that."""
    if not process.is_running:
        return False
    for number, seconds in ((signal.SIGTERM, _TERMINATE_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        if wait_until(lambda: has_ended(process), seconds):
            return True
    raise TryLater(f"{process.name} (process {process.pid}) does not end; end it by hand")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Looks until the condition holds or the time is up; returns whether it held."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def free_port(wanted: int = 0) -> int:
    """`wanted` if nothing listens there, else any free port of 127.0.0.1 that systems give to no outgoing connection.

    A port of that range would be lost to the next connection of anybody while the network is down.
    """
    for port in (wanted or _any_port(), *(_any_port() for _ in range(_PORT_TRIES))):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise TryLater("127.0.0.1 has no free port")


def _any_port() -> int:
    return secrets.choice(_PORTS)


def last_words(log: Path) -> str:
    """The last line of a log, for an error message."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    return lines[-1][:200] if lines else "it said nothing"


def has_ended(process: Process) -> bool:
    """Looks after children, too: one of ours that ended stays in the system until it is waited for."""
    if process.is_running:
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return True


def _start_by_ps(pid: int) -> str:
    told = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = told.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()
