"""A Kubo node whose calls have deadlines: it owns a `kubo_worker` process and replaces it when calls hang in it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from dlbc.adapters.devnet import kubo_blocks
from dlbc.core.errors import BadInput

MAX_STUCK_CALLS = 4
_MAX_ATTEMPTS = 3
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_PIPE_BYTES = 1 << 20
_SOFT_MEMORY_LIMIT = "1GiB"


class NodeError(Exception):
    """Kubo could not do it; the message is for the user."""


class DeadlinePassed(NodeError):
    """Kubo did not answer in time."""

    def __init__(self) -> None:
        super().__init__("context deadline exceeded")  # Kubo's own words


class WorkerGone(Exception):
    """The process that held Kubo has ended; the call may be made again."""


class Answer:
    """What a call will return. `wake` becomes readable when it is there."""

    def __init__(self) -> None:
        self.wake, self._signal = os.pipe()
        self._done = threading.Event()
        self._result: Any = None
        self._error: Exception | None = None

    @property
    def is_there(self) -> bool:
        return self._done.is_set()

    def give(self, result: Any = None, error: Exception | None = None) -> None:
        self._result, self._error = result, error
        self._done.set()
        os.close(self._signal)

    def wait(self, deadline: float) -> Any:
        """Raises DeadlinePassed, NodeError or WorkerGone."""
        if not self._done.wait(max(0.0, deadline - time.monotonic())):
            raise DeadlinePassed
        if self._error is not None:
            raise self._error
        return self._result

    def close(self) -> None:
        os.close(self.wake)


class Worker:
    """One worker process."""

    def __init__(self, repo: Path, swarm_port: int) -> None:
        self.abandoned: list[Answer] = []
        self._lock = threading.Lock()
        self._waiting: dict[int, Answer] = {}
        self._last_id = 0
        ready = self._waiting[0] = Answer()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dlbc.adapters.devnet.kubo_worker", str(repo), str(swarm_port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"GOMEMLIMIT": _SOFT_MEMORY_LIMIT, **os.environ},
        )
        threading.Thread(target=self._read, name="kubo answers", daemon=True).start()
        try:
            self.identity: dict[str, Any] = ready.wait(time.monotonic() + _START_SECONDS)
        except (NodeError, WorkerGone) as error:
            self.stop()
            raise NodeError(f"Kubo did not start: {error}") from error
        finally:
            ready.close()

    def send(self, call: str, *arguments: object) -> Answer:
        """Raises WorkerGone."""
        answer = Answer()
        with self._lock:
            self._last_id += 1
            self._waiting[self._last_id] = answer
            line = json.dumps({"id": self._last_id, "call": call, "arguments": arguments})
            try:
                stdin = self.process.stdin
                if stdin is None or stdin.closed:
                    raise BrokenPipeError
                stdin.write(line + "\n")
                stdin.flush()
            except (OSError, ValueError) as error:
                del self._waiting[self._last_id]
                answer.give(error=WorkerGone())
                answer.close()
                raise WorkerGone("Kubo has ended") from error
        return answer

    def stop(self) -> None:
        """Lets Kubo close its repository, kills it if it does not."""
        with self._lock, contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read(self) -> None:
        stdout: IO[str] | None = self.process.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                message = json.loads(line)
                with self._lock:
                    answer = self._waiting.pop(message["id"], None)
                if answer is not None:
                    answer.give(message.get("result"), NodeError(message["error"]) if "error" in message else None)
        with self._lock:
            left, self._waiting = list(self._waiting.values()), {}
        for answer in left:
            answer.give(error=WorkerGone("Kubo has ended"))


class KuboNode:
    """Calls with deadlines (`time.monotonic()` values). Every method raises only NodeError."""

    def __init__(self, repo: Path, swarm_port: int) -> None:
        self._repo = repo
        self._lock = threading.Lock()
        self._closed = False
        self._connected: dict[str, None] = {}
        self._known_pins: set[str] = set()
        self._pipes = repo / "pipes"
        self._pipes.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self._pipes.iterdir():
            left.unlink()
        self._worker = Worker(repo, swarm_port)
        # Asked for any port, Kubo chose one: its successors must be where the peers know it.
        self._swarm_port = swarm_port or int(self.identity["addresses"][0].rsplit("/", 1)[1])

    @property
    def identity(self) -> dict[str, Any]:
        """{"peer": id, "addresses": [multiaddress without /p2p]}."""
        return self._worker.identity

    def add(self, file: Path, deadline: float, *, only_hash: bool) -> str:
        """The CIDv0, pinned unless only hashed."""
        cid = str(self._call(deadline, "add", str(file), only_hash))
        if not only_hash:
            self._known_pins.add(cid)
        return cid

    def is_pinned(self, cid: str, deadline: float) -> bool:
        """Quick for what was pinned since the start; the library's list walks every block there is."""
        if cid not in self._known_pins and cid in self.pins(deadline):
            self._known_pins.add(cid)
        return cid in self._known_pins

    def pins(self, deadline: float) -> list[str]:
        """Everything pinned; the library does not tell roots from what is below them."""
        return list(self._call(deadline, "pins"))

    def unpin(self, cid: str, deadline: float) -> None:
        self._known_pins.discard(cid)
        self._call(deadline, "unpin", cid)

    def pin(self, cid: str, deadline: float, *, max_bytes: int) -> None:
        """Fetches the whole file, counted, before it is pinned: a pin alone would take any amount."""
        count = 0
        for block in self.download(cid, deadline):
            count += len(block)
            if count > max_bytes:
                raise NodeError(f"the file has more than the {max_bytes} bytes this node fetches")
        self._call(deadline, "pin", cid)
        self._known_pins.add(cid)

    def usage(self) -> tuple[int, int]:
        """(blocks, bytes of files) of the repository."""
        return kubo_blocks.usage(self._repo)

    def collect(self, deadline: float) -> None:
        """Deletes what is not pinned. The library can't, so it is done while no library runs.

        What is being added meanwhile is added again; a download that has begun is cut off, as by any new worker.
        """
        with self._lock:
            if self._closed:
                raise NodeError("the node is shutting down")
            self._worker.stop()
            self._worker = Worker(self._repo, self._swarm_port)
            try:  # this worker has no caller but us, so what it lists is all there is
                answer = self._worker.send("pins")
                try:
                    pins = [str(cid) for cid in answer.wait(deadline)]
                finally:
                    answer.close()
                self._worker.stop()
                kubo_blocks.delete_all_but(self._repo, pins)
            except BadInput as error:
                raise NodeError(f"nothing was deleted: {error}") from error
            except WorkerGone as error:
                raise NodeError("Kubo ended while its pins were read; nothing was deleted") from error
            finally:
                self._worker.stop()
                self._worker = Worker(self._repo, self._swarm_port)
                self._reconnect()

    def connect(self, address: str, deadline: float) -> None:
        self._call(deadline, "connect", address)
        self._connected[address] = None

    def peers(self, deadline: float) -> list[str]:
        """Multiaddresses, each with /p2p/ID if the library tells it."""
        return list(self._call(deadline, "peers"))

    def download(self, cid: str, deadline: float) -> Iterator[bytes]:
        """The file's bytes while they come. Closing the iterator early makes Kubo stop writing."""
        sent = 0
        for _ in range(_MAX_ATTEMPTS):
            worker = self._current()
            try:
                for block in self._stream(worker, cid, deadline):
                    sent += len(block)
                    yield block
                return
            except WorkerGone:
                self._replace(worker)
                if sent:
                    break
        raise NodeError("Kubo was restarted while it worked on this file; ask again")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._worker.stop()

    def _stream(self, worker: Worker, cid: str, deadline: float) -> Iterator[bytes]:
        path = self._pipes / f"{cid[:80]}-{threading.get_ident()}-{time.monotonic_ns()}"
        os.mkfifo(path, 0o600)
        pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            answer = worker.send("download", cid, str(path))
            try:
                while True:
                    left = deadline - time.monotonic()
                    ready = select.select([pipe, answer.wake], [], [], left)[0] if left > 0 else []
                    if not ready:
                        raise DeadlinePassed
                    if pipe in ready and (block := os.read(pipe, _PIPE_BYTES)):
                        yield block
                    elif answer.wake in ready or pipe in ready:
                        answer.wait(deadline)
                        # All is written by now; what is still in the pipe is read without waiting.
                        while block := _read_now(pipe):
                            yield block
                        return
            finally:
                os.close(pipe)  # first: a library that still writes is told so
                pipe = -1
                self._leave(worker, answer)
        finally:
            if pipe >= 0:
                os.close(pipe)
            path.unlink(missing_ok=True)

    def _call(self, deadline: float, call: str, *arguments: object) -> Any:
        for _ in range(_MAX_ATTEMPTS):
            worker = self._current()
            try:
                answer = worker.send(call, *arguments)
                try:
                    return answer.wait(deadline)
                finally:
                    self._leave(worker, answer)
            except WorkerGone:
                self._replace(worker)
        raise NodeError("Kubo was restarted several times during this call; see its log")

    def _current(self) -> Worker:
        with self._lock:
            if self._closed:
                raise NodeError("the node is shutting down")
            return self._worker

    def _leave(self, worker: Worker, answer: Answer) -> None:
        """Ends a call. One without an answer may never return; a process with several of them is replaced."""
        answer.close()
        if answer.is_there:
            return
        with self._lock:
            worker.abandoned = [answer, *(other for other in worker.abandoned if not other.is_there)]
            full = len(worker.abandoned) >= MAX_STUCK_CALLS
        if full:
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        """Calls that were running in the old process are made again in the new one, by their own threads."""
        with self._lock:
            if self._closed or self._worker is not worker:
                return
            worker.process.kill()
            worker.stop()
            self._worker = Worker(self._repo, self._swarm_port)
            self._reconnect()

    def _reconnect(self) -> None:
        for address in self._connected:
            with contextlib.suppress(WorkerGone):
                self._worker.send("connect", address).close()


def _read_now(pipe: int) -> bytes:
    try:
        return os.read(pipe, _PIPE_BYTES)
    except BlockingIOError:
        return b""
