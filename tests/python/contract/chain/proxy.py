"""A node between the client and Anvil that loses, delays, refuses or falsifies chosen answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from anvil_node import Anvil

Forward = Callable[[], Any]
Rule = Callable[[list[Any], Forward], Any]
"""rule(params, forward) gives the result; forward() asks Anvil. May raise Lost or Refusal, or return Raw."""


class Lost(Exception):
    """The connection breaks before the answer is sent."""


class Refusal(Exception):
    """The node answers with this JSON-RPC error, or one of this message."""


class Raw(bytes):
    """These bytes are the whole answer."""


class Drip(Raw):
    """The same, but one byte at a time."""


class Proxy:
    """`with Proxy(anvil) as node:`; then `node.rules["eth_call"] = rule`. `node.calls` lists the methods asked."""

    def __init__(self, anvil: Anvil) -> None:
        self.rules: dict[str, Rule] = {}
        self.calls: list[str] = []
        self.stopping = threading.Event()
        self.batch: Callable[[list[Any]], Any] = lambda answers: answers
        """What becomes of the answers to a batch."""
        self._anvil = anvil
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    if isinstance(request, list):
                        body = json.dumps(proxy.batch([proxy._answer(one) for one in request])).encode()
                    else:
                        answer = proxy._answer(request)
                        body = answer if isinstance(answer, Raw) else json.dumps(answer).encode()
                except Lost:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if not isinstance(body, Drip):
                    self.wfile.write(body)
                    return
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    proxy.stopping.wait(0.02)

            def log_message(self, format: str, *args: object) -> None:
                """Tests print nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A client that leaves in the middle is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _answer(self, request: dict[str, Any]) -> Any:
        """What the rules, or Anvil, say to one request. Raises Lost."""
        method, params = request["method"], request["params"]
        self.calls.append(method)

        def forward() -> Any:
            answer = self._anvil.answer(method, *params)
            if "error" in answer:
                raise Refusal(answer["error"])
            return answer["result"]

        try:
            rule = self.rules.get(method)
            result = rule(params, forward) if rule else forward()
        except Refusal as refusal:
            told = refusal.args[0]
            error = told if isinstance(told, dict) else {"code": -32000, "message": told}
            return {"id": request["id"], "error": error}
        return result if isinstance(result, Raw) else {"id": request["id"], "result": result}

    def stop(self) -> None:
        """The node vanishes."""
        self.stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


def once(rule: Rule, after: int = 0) -> Rule:
    """The rule for call number `after` only; every other call is passed on."""
    seen = iter(range(10**9))
    return lambda params, forward: rule(params, forward) if next(seen) == after else forward()
