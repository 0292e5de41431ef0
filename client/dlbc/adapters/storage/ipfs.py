"""ports.Storage on the Kubo RPC API: a real `ipfs daemon`, or the embedded node of `dlbc devnet`.

The node is not trusted. Locators are computed here from the bytes; whatever comes is counted while it arrives and
re-hashed before anybody sees it; no call outlives its timeout, whatever the other side does.
"""

from __future__ import annotations

import io
import math
import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

# The package's own switch: its patched copy of requests warns of itself with every request of a current urllib3.
os.environ.setdefault("PY_IPFS_HTTP_CLIENT_PATCH_REQUESTS", "no")
with warnings.catch_warnings():
    # Syntax warnings of the packages it is made of; its version warning never fires, see _Watch.client.
    warnings.simplefilter("ignore")
    import ipfshttpclient
    import requests
    import urllib3

from dlbc.core.cid import LocatorHasher, locator_of, to_cid
from dlbc.core.errors import DlbcError, Garbled, StorageUnreachable, Unavailable, VerificationFailed
from dlbc.core.types import Locator

_BLOCK = 1 << 18
_CONNECT_SECONDS = 5.0
_QUICK_SECONDS = 15.0  # calls that need no network: version, pin/ls
_ADD_SECONDS = 600.0
_UNPIN_SECONDS = 60.0  # a large repository takes its time to count itself
_COLLECT_SECONDS = 900.0
_MAX_COLLECT_BYTES = 64 << 20
_MAX_JSON_BYTES = 1 << 20
_NODE_MARGIN_SECONDS = 2.0  # the node gives up this much before we do, so that it can say why

Result = TypeVar("Result")


class IpfsStorage:
    """Storage behind the RPC API at `api`, a multiaddress such as /ip4/127.0.0.1/tcp/5001/http."""

    def __init__(self, api: str) -> None:
        self._api = api

    def add(self, data: bytes) -> Locator:
        locator = locator_of(data)

        def send(watch: _Watch) -> str:
            with io.BytesIO(data) as stream:
                answer = watch.client(_ADD_SECONDS).add(stream, pin=True, raw_leaves=False, cid_version=0)
                return str(answer["Hash"])

        with self._translated("the node did not take the bytes"):
            named = _within(_ADD_SECONDS, send, self._api)
        if named != to_cid(locator):
            raise VerificationFailed(
                f"the IPFS node at {self._api} named the added bytes {named[:80]!r}, expected {to_cid(locator)}; its"
                " chunker and CID settings must be Kubo's defaults"
            )
        return locator

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        cid = to_cid(locator)
        options = {"length": str(max_bytes + 1), **_node_timeout(timeout)}

        def receive(watch: _Watch) -> bytes:
            received, hasher = bytearray(), LocatorHasher()
            with watch.client(timeout, max_bytes).cat(cid, opts=options, stream=True) as blocks:
                for block in blocks:
                    received += block
                    hasher.update(block)
            if hasher.digest() != locator:
                raise Garbled(
                    f"the IPFS node at {self._api} answered {len(received)} bytes for {cid} that hash to"
                    f" {to_cid(hasher.digest())}"
                )
            return bytes(received)

        with self._translated(f"nobody served {cid} within {timeout:g} s"):
            return _within(timeout, receive, self._api)

    def pin(self, locator: Locator, timeout: float = 60.0) -> None:
        cid = to_cid(locator)
        with self._translated(f"nobody served {cid} within {timeout:g} s, so it could not be pinned"):
            answer = _within(
                timeout, lambda watch: watch.client(timeout).pin.add(cid, opts=_node_timeout(timeout)), self._api
            )
            if cid not in answer["Pins"]:
                raise KeyError(cid)

    def is_pinned(self, locator: Locator) -> bool:
        cid = to_cid(locator)
        try:
            with self._translated(f"the node did not say whether {cid} is pinned"):
                answer = _within(_QUICK_SECONDS, lambda watch: watch.client().pin.ls(cid, type="recursive"), self._api)
                return cid in answer["Keys"]
        except Unavailable as error:
            if "is not pinned" in str(error.__cause__):
                return False
            raise

    def unpin(self, locator: Locator) -> None:
        cid = to_cid(locator)
        try:
            with self._translated(f"the node did not unpin {cid}"):
                answer = _within(_UNPIN_SECONDS, lambda watch: watch.client(_UNPIN_SECONDS).pin.rm(cid), self._api)
                if cid not in answer["Pins"]:
                    raise KeyError(cid)
        except Unavailable as error:
            if "not pinned" not in str(error.__cause__):
                raise

    def collect(self) -> int:
        before = self.repo()[0]
        with self._translated("the node did not collect its garbage"):
            # Kubo's own --silent: without it the answer names every block.
            options = {"silent": "true"}
            _within(
                _COLLECT_SECONDS,
                lambda watch: watch.client(_COLLECT_SECONDS, _MAX_COLLECT_BYTES).repo.gc(quiet=True, opts=options),
                self._api,
            )
        return max(0, before - self.repo()[0])

    def repo(self) -> tuple[int, int]:
        """(bytes used, bytes at which a daemon with --enable-gc starts to delete; 0 = not told)."""
        with self._translated("the node did not tell the size of its repository"):
            answer = _within(_UNPIN_SECONDS, lambda watch: watch.client(_UNPIN_SECONDS).repo.stat(), self._api)
            return int(answer["RepoSize"]), int(answer.get("StorageMax", 0))

    def version(self) -> str:
        with self._translated("the node did not tell its version"):
            return str(_within(_QUICK_SECONDS, lambda watch: watch.client().version()["Version"], self._api))

    def peers(self) -> list[str]:
        """Multiaddresses of the peers the node is connected to."""
        with self._translated("the node did not tell its peers"):
            answer = _within(_QUICK_SECONDS, lambda watch: watch.client().swarm.peers(), self._api)
            return [str(peer["Addr"]) for peer in answer["Peers"] or ()]

    def connect(self, address: str) -> None:
        """Connects the node to a peer, /ip4/…/tcp/…/p2p/…. Raises Unavailable."""
        with self._translated(f"{address} did not answer"):
            # The package's own swarm.connect sends the address once more letter by letter.
            _within(
                _QUICK_SECONDS,
                lambda watch: watch.client()._client.request("/swarm/connect", (address,), decoder="json"),
                self._api,
            )

    @contextmanager
    def _translated(self, failed: str) -> Iterator[None]:
        """ipfshttpclient's and requests' errors stop here."""
        try:
            yield
        except DlbcError:
            raise
        except ipfshttpclient.exceptions.AddressError as error:
            raise StorageUnreachable(f"{self._api} is no address of an IPFS API this client can use") from error
        except ipfshttpclient.exceptions.ConnectionError as error:
            raise StorageUnreachable(
                f"no IPFS node answers at {self._api}: run `dlbc devnet up`, or `ipfs daemon` and set DLBC_IPFS_API"
            ) from error
        except ipfshttpclient.exceptions.TimeoutError as error:
            raise Unavailable(f"{failed} (IPFS API {self._api})") from error
        except (ipfshttpclient.exceptions.Error, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise Unavailable(f"{failed}: {_told(error)} (IPFS API {self._api})") from error
        except (LookupError, TypeError, ValueError, AssertionError, AttributeError, RecursionError) as error:
            raise Unavailable(
                f"{failed}: the answer is not Kubo's ({type(error).__name__}; IPFS API {self._api})"
            ) from error


class _Watch:
    """Makes the client of one call, counts what is answered, and can cut the answer off from another thread."""

    def __init__(self, api: str) -> None:
        self._api = api
        self._response: requests.Response | None = None
        self._max_bytes = _MAX_JSON_BYTES

    def client(self, seconds: float = _QUICK_SECONDS, max_bytes: int = _MAX_JSON_BYTES) -> Any:
        """A client without a session: connections are not shared, so cutting one off disturbs nobody.

        `connect()` is not used: it asks for the version at each call, and warns of every daemon since 2021.
        """
        self._max_bytes = max_bytes
        client = ipfshttpclient.Client(self._api, chunk_size=_BLOCK, timeout=(min(_CONNECT_SECONDS, seconds), seconds))
        # The package has no public way to these two. A proxy from the environment must not see loopback traffic.
        properties: dict[str, Any] = client._client._session_props
        properties["hooks"] = {"response": [self._bound]}
        properties["trust_env"] = not self._api.startswith(("/ip4/127.", "/ip6/::1/", "/dns/localhost/"))
        return client

    def cut(self) -> None:
        """Wakes a read that waits for this answer."""
        if self._response is not None:
            try:
                self._response.raw.shutdown()
            except (OSError, ValueError, RuntimeError):
                return  # it ended by itself

    def _bound(self, response: requests.Response, *_: object, **__: object) -> None:
        """Makes the answer come in blocks, and no more than allowed; the package would read all there is at once."""
        self._response = response
        read = response.iter_content
        # What went wrong is told in a few words, however few bytes the file may have.
        limit = self._max_bytes if response.ok else _MAX_JSON_BYTES

        def iter_content(chunk_size: int | None = None, decode_unicode: bool = False) -> Iterator[bytes]:
            received = 0
            for block in read(_BLOCK):
                received += len(block)
                if received > limit:
                    raise Garbled(
                        f"the IPFS node at {self._api} answered more than the {limit} bytes allowed; the rest"
                        " was not read"
                    )
                yield block

        response.iter_content = iter_content  # type: ignore[method-assign]


def _within(seconds: float, call: Callable[[_Watch], Result], api: str) -> Result:
    """Runs `call` in a thread of its own for at most `seconds`: timeouts of sockets restart with every byte.

    Raises ipfshttpclient's TimeoutError after that, else what `call` raises.
    """
    watch = _Watch(api)
    answers: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((call(watch), None))
        except BaseException as error:  # noqa: BLE001  (it is raised again, in the caller's thread)
            answers.put((None, error))

    threading.Thread(target=work, name="ipfs", daemon=True).start()
    try:
        result, error = answers.get(timeout=seconds)
    except queue.Empty:
        watch.cut()
        raise ipfshttpclient.exceptions.TimeoutError(TimeoutError(f"after {seconds:g} s")) from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _node_timeout(seconds: float) -> dict[str, str]:
    """Kubo's own --timeout, a little shorter than ours."""
    return {"timeout": f"{math.ceil(1000 * max(seconds - _NODE_MARGIN_SECONDS, 0.8 * seconds))}ms"}


def _told(error: BaseException) -> str:
    """A node's words, without what could steer a terminal or is no text."""
    words = "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(error).split())[:200])
    return words or type(error).__name__
