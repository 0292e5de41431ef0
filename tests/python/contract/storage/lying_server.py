"""An HTTP server that pretends to be Kubo and then does what a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

Behaviour = Callable[["Connection"], None]


class Connection(BaseHTTPRequestHandler):
    """One request. A behaviour writes what it likes to `wfile`."""

    protocol_version = "HTTP/1.1"
    server: LyingServer

    def do_POST(self) -> None:
        self.server.paths.append(self.path)
        self.close_connection = True
        try:
            self.server.behaviour(self)
        except (BrokenPipeError, ConnectionResetError):
            self.server.was_cut.set()

    def head(self, status: int = 200, **headers: str) -> None:
        """Status and headers; underscores in their names become dashes."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self, data: bytes, status: int = 200) -> None:
        """A complete answer."""
        self.head(status, Content_Length=str(len(data)), Content_Type="application/json")
        self.wfile.write(data)

    def chunk(self, data: bytes) -> None:
        """One chunk of an answer with Transfer-Encoding: chunked."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


class LyingServer(ThreadingHTTPServer):
    """`with LyingServer(behaviour) as server:`; `is_over` lets behaviours that wait end with the test."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.behaviour = behaviour
        self.paths: list[str] = []
        self.is_over = threading.Event()
        self.was_cut = threading.Event()
        self.api = f"/ip4/127.0.0.1/tcp/{self.server_address[1]}/http"

    def __enter__(self) -> LyingServer:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.is_over.set()
        self.shutdown()
        self.server_close()
