"""A TCP relay between a client and a server on loopback: connections are cut, stalled, slow, or garbled."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Literal

Mode = Literal["pass", "down", "stall", "slow", "garble"]
PIECE = 65_536
SLOW_SECONDS = 1.0
"""Delay of each answer."""


class Relay:
    """`with Relay(port) as relay:`; clients use `relay.port`; `relay.mode` may change at any time.

    down: connections are cut at once. stall: they are taken, and nothing ever comes back. slow: an answer waits for
    SLOW_SECONDS. garble: in everything that comes back behind the first 256 bytes, or in the last bytes of something
    shorter, one bit is wrong.
    """

    def __init__(self, upstream_port: int) -> None:
        self.mode: Mode = "pass"
        self.hit = 0
        """Connections and answers that were not passed on as they were."""
        self._upstream = ("127.0.0.1", upstream_port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(0.2)
        self.port: int = self._listener.getsockname()[1]
        self._is_over = threading.Event()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._listener.close()
        self.cut()

    def set(self, mode: Mode) -> None:
        """From now on; connections that are open feel it, too."""
        self.mode = mode
        if mode == "down":
            self.cut()

    def turn_to(self, upstream_port: int) -> None:
        """Another server from now on."""
        self._upstream = ("127.0.0.1", upstream_port)
        self.cut()

    def cut(self) -> None:
        """Every open connection breaks."""
        for connection in list(self._open):
            _close(connection)
            self._open.discard(connection)

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if self.mode == "down":
                self.hit += 1
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream, timeout=10)
        except OSError:
            client.close()
            return
        for connection in (client, server):
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(connection)
        back = threading.Thread(target=self._pump, args=(server, client, True), daemon=True)
        back.start()
        self._pump(client, server, False)
        back.join()
        for connection in (client, server):
            self._open.discard(connection)
            connection.close()

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        try:
            while data := source.recv(PIECE):
                if is_answer and self.mode != "pass":
                    data = self._hurt(data)
                if data:
                    target.sendall(data)
        except OSError:
            pass
        _close(source)
        _close(target)

    def _hurt(self, data: bytes) -> bytes:
        self.hit += 1
        match self.mode:
            case "stall":
                return b""
            case "slow":
                time.sleep(SLOW_SECONDS)
            case "garble":
                at = 256 if len(data) > 300 else len(data) - 1
                return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        return data


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
