"""A real Anvil on a free loopback port, with its own clock under the tests' control."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, sleep
from types import TracebackType
from typing import Any

from dlbc.adapters.devnet.anvil import find_anvil

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 20.0
PAST_STATES = "64"
"""Without a limit the suite leaves 13 GB of old states in the home folder."""

PRIVATE_KEYS = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
]
"""Anvil's well-known accounts; each has 10,000 ether."""


class Anvil:
    """One node. `with Anvil() as node:` starts it and ends it by its process id."""

    def __init__(self, *flags: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._flags = flags
        self._cache = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Anvil:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the node on its port; returns when it answers. What it keeps of the past is in a folder of its own."""
        self._cache = mkdtemp(prefix="dlbc-anvil-")
        command = [
            str(find_anvil(os.environ, ROOT)),
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--silent",
            *("--cache-path", self._cache, "--max-persisted-states", PAST_STATES),
            *self._flags,
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = monotonic() + START_SECONDS
        while True:
            try:
                self.rpc("eth_chainId")
                return
            except OSError:
                if self._process.poll() is not None or monotonic() > deadline:
                    self.stop()
                    raise
                sleep(0.02)

    def stop(self) -> None:
        """Ends the node's process, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            shutil.rmtree(self._cache, ignore_errors=True)

    def rpc(self, method: str, *params: object) -> Any:
        """The result of one request; RuntimeError with the node's message if it refuses."""
        answer = self.answer(method, *params)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def answer(self, method: str, *params: object) -> dict[str, Any]:
        """The whole answer to one request."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def time(self) -> int:
        """The latest block's timestamp."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def move_to(self, timestamp: int) -> None:
        """Mines a block at this time, unless it is past already."""
        if self.time() < timestamp:
            self.rpc("evm_setNextBlockTimestamp", timestamp)
            self.rpc("evm_mine")
