"""A node between a client and its chain that counts and times what the client asks. Bodies pass through unchanged."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    """One request: when it came, and when its answer left (unix seconds)."""

    method: str
    began: float
    ended: float


class CountingProxy:
    """`with CountingProxy(url) as proxy:`; `proxy.url` is for the client, `proxy.calls` counts methods."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        target = parts.hostname or "", parts.port
        self._lock = threading.Lock()
        self._asked: list[Asked] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                began = time.time()
                node = http.client.HTTPConnection(*target, timeout=60)
                node.request("POST", "/", body, {"Content-Type": "application/json"})
                answer = node.getresponse()
                content = answer.read()
                node.close()
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                proxy._note(body, began)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that is killed leaves in the middle."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> CountingProxy:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def asked(self) -> list[Asked]:
        """Requests so far; each of a batch counts."""
        with self._lock:
            return list(self._asked)

    @property
    def calls(self) -> Counter[str]:
        """Their number, by method."""
        return Counter(one.method for one in self.asked)

    def _note(self, body: bytes, began: float) -> None:
        asked, ended = json.loads(body), time.time()
        with self._lock:
            self._asked += [
                Asked(one["method"], began, ended) for one in (asked if isinstance(asked, list) else [asked])
            ]
