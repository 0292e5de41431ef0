"""Processes are known by id and start time."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlbc.adapters.devnet import process as processes
from dlbc.adapters.devnet.process import Process, free_port, has_ended, last_words, start, start_of, stop, wait_until
from dlbc.core.errors import Refused

pytestmark = pytest.mark.unit

SLEEPER = [sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read(); input()"]
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield child
        child.kill()


def record(pid: int) -> Process:
    return Process("test", pid, start_of(pid), 0)


def test_is_running__this_process__is_true_and_with_another_start_false() -> None:
    """An id alone proves nothing: the system gives it to somebody else one day."""
    me = record(os.getpid())

    assert me.is_running
    assert not dataclasses.replace(me, started="1").is_running
    assert not dataclasses.replace(me, started="").is_running


def test_is_running__a_child_that_ended__is_false_even_before_it_is_waited_for(
    sleeper: subprocess.Popen[str],
) -> None:
    """A zombie does nothing any more."""
    known = record(sleeper.pid)
    sleeper.kill()

    assert wait_until(lambda: not known.is_running, 10)


def test_stop__a_running_process__ends_it(sleeper: subprocess.Popen[str]) -> None:
    """True = it ran; a second time there is nothing to stop."""
    known = record(sleeper.pid)

    assert stop(known)
    assert not stop(known)


def test_stop__a_stranger_with_the_same_id__is_left_alone(sleeper: subprocess.Popen[str]) -> None:
    """After a reboot, network.json names ids that belong to others."""
    stranger = dataclasses.replace(record(sleeper.pid), started="1")

    assert not stop(stranger)
    assert sleeper.poll() is None


def test_stop__a_process_deaf_to_sigterm__is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking, waiting, insisting."""
    monkeypatch.setattr(processes, "_TERMINATE_SECONDS", 0.1)
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"

        assert stop(record(child.pid))


def test_start__a_command__runs_in_its_own_session_and_logs(tmp_path: Path) -> None:
    """Control-C in the terminal that started it does not reach it."""
    code = "import os; print(os.getsid(0) == os.getpid())"

    known = start("x", [sys.executable, "-c", code], 0, tmp_path / "logs/x.log", dies_with_parent=False)

    assert wait_until(lambda: has_ended(known), 20)
    assert last_words(tmp_path / "logs/x.log") == "True"


def test_start__no_such_program__is_refused(tmp_path: Path) -> None:
    """One sentence with the program's name."""
    with pytest.raises(Refused, match="/nowhere/program can't be started"):
        start("x", ["/nowhere/program"], 0, tmp_path / "x.log", dies_with_parent=False)


def test_start__dies_with_parent__ends_when_the_parent_is_killed(tmp_path: Path) -> None:
    """Tests that are killed leave no network behind (where util-linux has setpriv)."""
    code = "import sys, pathlib; from dlbc.adapters.devnet.process import start\n"
    code += "known = start('x', ['sleep', '600'], 0, pathlib.Path(sys.argv[1]), dies_with_parent=True)\n"
    code += "print(known.pid, known.started, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "x.log")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, started = parent.stdout.readline().split()
        child = Process("x", int(pid), started, 0)
        assert child.is_running
        # not before setpriv has asked for the signal and become the command
        assert wait_until(lambda: Path(f"/proc/{pid}/comm").read_text().strip() == "sleep", 10)
        parent.kill()

    assert wait_until(lambda: not child.is_running, 10)


def test_free_port__the_wanted_one_is_taken__is_another() -> None:
    """The caller compares; two calls with nothing in between may agree."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert free_port(port) not in (0, port)
    assert free_port(port) == port


def test_free_port__any__is_none_that_outgoing_connections_get() -> None:
    """Else the port of a network that is down goes to the next connection of anybody."""
    assert all(20_000 <= free_port() < 32_768 for _ in range(20))


@pytest.mark.parametrize(("text", "expected"), [(None, "it left no log"), ("", "it said nothing"), ("a\nb\n", "b")])
def test_last_words__of_a_log__one_line(tmp_path: Path, text: str | None, expected: str) -> None:
    """For the end of an error message."""
    if text is not None:
        (tmp_path / "log").write_text(text)

    assert last_words(tmp_path / "log") == expected
