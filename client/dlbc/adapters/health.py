"""GET /healthz and GET /metrics of a daemon, on 127.0.0.1 and for names of this machine only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from dlbc.core.errors import Refused

LATE_AFTER = 300.0
"""Seconds without a tick that succeeded: five of the longest pauses between two tries."""
_LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
_IDLE_SECONDS = 10.0
CONNECTIONS = 16
"""At once: every program of this machine may connect, and the daemon needs its file descriptors itself."""


@dataclass(slots=True)
class Health:
    """When a tick last succeeded, and what went wrong since."""

    seconds: Callable[[], float]
    """A stopwatch."""
    late_after: float = LATE_AFTER
    _last: float = 0.0
    _error: str = ""

    def __post_init__(self) -> None:
        """The start counts as a tick."""
        self._last = self.seconds()

    def succeeded(self) -> None:
        """A tick ended well."""
        self._last, self._error = self.seconds(), ""

    def failed(self, reason: str) -> None:
        """A tick did not."""
        self._error = reason

    @property
    def age(self) -> float:
        """Seconds since a tick succeeded, or since the start."""
        return self.seconds() - self._last

    @property
    def why_not(self) -> str:
        """What is wrong; "" for nothing."""
        age = self.age
        if age <= self.late_after:
            return ""
        return f"no tick succeeded for {age:.0f} s: {self._error or 'the last one has not come back'}"


class HealthServer:
    """Serves while it is entered. Raises Refused when the port is taken."""

    def __init__(self, port: int, health: Health, text: Callable[[], bytes], content_type: str) -> None:
        try:
            self._server = _Server(port, health, text, content_type)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise Refused(
                f"metrics can't be served on 127.0.0.1:{port} ({why}); choose another metrics_port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""
        return int(self._server.server_address[1])

    def __enter__(self) -> HealthServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, health: Health, text: Callable[[], bytes], content_type: str) -> None:
        self.health, self.text, self.content_type = health, text, content_type
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, if there is a place for it."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread was started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked went away: that is no news, and a traceback on stderr is none of its business."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _IDLE_SECONDS
    server_version = "dlbc"
    sys_version = ""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._is_local():
            self._send(403, "text/plain", b"this endpoint answers only to names of this machine\n")
        elif path == "/metrics":
            self._send(200, self.server.content_type, self.server.text())
        elif path == "/healthz":
            why = self.server.health.why_not
            self._send(503 if why else 200, "text/plain; charset=utf-8", f"{why or 'ok'}\n".encode())
        else:
            self._send(404, "text/plain", b"expected /metrics or /healthz\n")

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: something asks every few seconds."""

    def _is_local(self) -> bool:
        """A web page reaches loopback through a name of its own (DNS rebinding); that name is in Host."""
        try:
            return urlsplit("//" + self.headers.get("Host", "")).hostname in _LOCAL_NAMES
        except ValueError:
            return False

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
