"""ports.Channel as a program of the owner's: the notice comes on its standard input, an exit code of 0 means heard."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress

from dlbc.core.errors import TryLater, Usage

RUN_SECONDS = 60.0
_TAIL_BYTES = 4096
_SHOWN = 200


class Command:
    """Runs a program for each notice, without a shell, in a process group of its own."""

    name = "command"

    def __init__(self, words: Sequence[str], seconds: float = RUN_SECONDS) -> None:
        """`words`: the program and its arguments, as `split_command` gives them."""
        self._words, self._seconds = list(words), seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"Command({self._words[0]})"

    def send(self, notice_id: str, kind: str, body: bytes) -> None:
        """As ports.Channel says; the notice has its id and kind in it, so its arguments stay what they are."""
        del notice_id, kind
        try:
            process = subprocess.Popen(
                self._words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise TryLater(f"{self._words[0]} could not be started ({why}); a daemon tries again") from error
        self._process = process
        output = _Tail(process)
        try:
            _feed(process, body)
            code = process.wait(self._seconds)
        except subprocess.TimeoutExpired as error:
            raise TryLater(
                f"{self._words[0]} took longer than {self._seconds:g} s and was ended{output.last_line()}"
            ) from error
        finally:
            _end(process)
            self._process = None
        if code != 0:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            raise TryLater(f"{self._words[0]} {how}{output.last_line()}; a daemon runs it again")

    def close(self) -> None:
        """As ports.Channel says."""
        process = self._process
        if process is not None:
            _end(process)


def split_command(text: str, source: str) -> list[str]:
    """Words as a shell would see them. Raises Usage for none, an open quote, or a program that is not there."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Usage(f"{source}: expected a command, found {text[:80]!r} ({error})") from error
    if not words:
        raise Usage(f"{source}: expected a program and its arguments, found none")
    if shutil.which(words[0]) is None:
        raise Usage(f"{source}: there is no program {words[0][:200]}; name it with its whole path")
    return words


class _Tail:
    """Reads what a program prints, and keeps the end of it: whoever prints without end must not fill our memory."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "it has a pipe"
        self._stream, self._kept = process.stdout, b""
        self._thread = threading.Thread(target=self._run, name="notice output", daemon=True)
        self._thread.start()

    def last_line(self) -> str:
        """For messages: what it said last, or nothing. A grandchild may still hold the pipe."""
        self._thread.join(1.0)
        lines = self._kept.decode("utf-8", "replace").strip().splitlines()
        told = "".join(letter if letter.isprintable() else "�" for letter in lines[-1][:_SHOWN]) if lines else ""
        return f": {told}" if told else ""

    def _run(self) -> None:
        with self._stream, suppress(OSError, ValueError):
            while chunk := os.read(self._stream.fileno(), _TAIL_BYTES):
                self._kept = (self._kept + chunk)[-_TAIL_BYTES:]


def _feed(process: subprocess.Popen[bytes], body: bytes) -> None:
    """A notice is smaller than a pipe, so this does not wait for a program that does not read."""
    assert process.stdin is not None, "it has a pipe"
    with suppress(OSError):  # it ended without reading, which is its own business
        process.stdin.write(body)
    with suppress(OSError):
        process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """With everything that it started and that stayed in its group."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
