"""A node in front of Anvil that lies about transactions and about its chain."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from eth_utils.crypto import keccak

Answer = dict[str, Any]


class Liar:
    """`start()`, choose a lie, `stop()`; clients ask 127.0.0.1:`port`. It passes on what it does not lie about."""

    def __init__(self, upstream_port: int) -> None:
        self.told = 0
        """Lies that were told."""
        self._upstream = f"http://127.0.0.1:{upstream_port}"
        self._rules: dict[str, Callable[[Answer], Any]] = {}
        self._invented: dict[str, Answer] = {}
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answers = [liar._answer(one) for one in (request if isinstance(request, list) else [request])]
                body = json.dumps(answers if isinstance(request, list) else answers[0]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Clients may leave."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]

    def start(self) -> None:
        """Serves in a thread."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Vanishes."""
        self._server.shutdown()
        self._server.server_close()

    # ------------------------------------------------------------------ lies

    def hide_receipts(self) -> None:
        """Nothing is ever mined."""
        self._rules["eth_getTransactionReceipt"] = lambda request: None

    def tell_failure(self) -> None:
        """What was mined is said to have failed."""
        self._rules["eth_getTransactionReceipt"] = lambda request: (
            receipt | {"status": "0x0", "logs": []} if (receipt := self._forward(request).get("result")) else None
        )

    def invent_receipt(self) -> None:
        """A transaction is thrown away and said to be mined."""
        self._rules["eth_sendRawTransaction"] = self._throw_away
        self._rules["eth_getTransactionReceipt"] = lambda request: (
            self._invented.get(request["params"][0]) or self._forward(request).get("result")
        )

    def swallow(self) -> None:
        """A transaction is thrown away and said to be on its way."""
        self._rules["eth_sendRawTransaction"] = self._throw_away

    def switch_chain(self) -> None:
        """It is another chain's node from now on."""
        self._rules["eth_chainId"] = lambda request: "0x1"
        self._rules["net_version"] = lambda request: "1"
        self._rules["eth_call"] = lambda request: "0x"
        self._rules["eth_getLogs"] = lambda request: []

    def fall_behind(self) -> None:
        """It answers with the state of some blocks ago, as a node behind a load balancer does."""
        latest = int(self._forward({"method": "eth_blockNumber", "params": []})["result"], 16)
        past = hex(max(0, latest - 2))

        def stale(request: Answer) -> Any:
            params = [past if word == "latest" else word for word in request["params"]]
            return self._forward(request | {"params": params}).get("result")

        for method in ("eth_call", "eth_getBlockByNumber", "eth_getBalance"):
            self._rules[method] = stale
        self._rules["eth_blockNumber"] = lambda request: past

    def _throw_away(self, request: Answer) -> str:
        tx_hash = "0x" + keccak(hexstr=request["params"][0]).hex()
        block = self._forward({"method": "eth_getBlockByNumber", "params": ["latest", False]})["result"]
        self._invented[tx_hash] = {
            "transactionHash": tx_hash,
            "blockNumber": block["number"],
            "blockHash": block["hash"],
            "status": "0x1",
            "gasUsed": "0x5208",
            "logs": [],
        }
        return tx_hash

    # ------------------------------------------------------------------ inside

    def _answer(self, request: Answer) -> Answer:
        rule = self._rules.get(request["method"])
        if rule is None:
            return self._forward(request)
        honest = None if request["method"] == "eth_sendRawTransaction" else self._forward(request).get("result")
        result = rule(request)
        self.told += result != honest
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}

    def _forward(self, request: Answer) -> Answer:
        body = json.dumps({"jsonrpc": "2.0", "id": 0, **request}).encode()
        ask = urllib.request.Request(self._upstream, body, {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(ask, timeout=60) as answer:
            found: Answer = json.load(answer)
        return found
