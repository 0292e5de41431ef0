"""The storage suite, on the fake and on real Kubo, and what only a node that is not trusted can do."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dlbc.adapters.devnet.process import free_port
from dlbc.adapters.storage.ipfs import IpfsStorage
from dlbc.core.cid import locator_of, to_cid
from dlbc.core.errors import StorageUnreachable, Unavailable, VerificationFailed
from dlbc.core.types import Locator
from dlbc.ports import Storage
from fakes.storage import MemoryStorage
from kubo_process import KuboProcess
from lying_server import Behaviour, Connection, LyingServer

pytestmark = pytest.mark.contract

MIB = 1 << 20


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboProcess]:
    with KuboProcess(tmp_path_factory.mktemp("node")) as started:
        yield started


@pytest.fixture(params=["memory", "ipfs"])
def storage(request: pytest.FixtureRequest) -> Storage:
    if request.param == "memory":
        return MemoryStorage()
    return IpfsStorage(request.getfixturevalue("node").api)


def some_bytes(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


# ------------------------------------------------------------------ the suite


@pytest.mark.parametrize("count", [0, 1, 262_144, 262_145, 3 * MIB + 7])
def test_add__any_bytes__come_back_under_their_own_locator(storage: Storage, count: int) -> None:
    """The locator follows from the bytes alone, and is pinned."""
    data = some_bytes(count)

    locator = storage.add(data)

    assert locator == locator_of(data)
    assert storage.fetch(locator, max_bytes=count) == data
    assert storage.is_pinned(locator)


def test_fetch__more_than_allowed__stops(storage: Storage) -> None:
    """A locator does not say how many bytes follow; the caller does."""
    locator = storage.add(some_bytes(1001))

    with pytest.raises(VerificationFailed, match="more than the 1000 bytes allowed"):
        storage.fetch(locator, max_bytes=1000)


def test_fetch__a_locator_nobody_has__is_unavailable_in_time(storage: Storage) -> None:
    """Nobody can prove that bytes do not exist; the deadline decides."""
    start = time.monotonic()

    with pytest.raises(Unavailable, match=r"nobody served Qm\w+ within 1 s"):
        storage.fetch(Locator(some_bytes(32, 2)), max_bytes=10, timeout=1)
    assert time.monotonic() - start < 3


def test_pin__a_locator_nobody_has__is_unavailable(storage: Storage) -> None:
    """The same for pins; and it is not pinned afterwards."""
    locator = Locator(some_bytes(32, 3))

    with pytest.raises(Unavailable, match="could not be pinned"):
        storage.pin(locator, timeout=1)
    assert not storage.is_pinned(locator)


def test_pin__twice__is_no_error(storage: Storage) -> None:
    """Every step can be repeated after a crash."""
    locator = storage.add(b"pinned")

    storage.pin(locator)
    storage.pin(locator)

    assert storage.is_pinned(locator)


def test_collect__after_an_unpin__deletes_that_and_nothing_else(storage: Storage) -> None:
    """What is pinned stays whole, in however many blocks; what is not is gone; and the node goes on working."""
    kept, doomed = some_bytes(3 * MIB, 31), some_bytes(2 * MIB, 32)
    kept_locator, doomed_locator = storage.add(kept), storage.add(doomed)

    storage.unpin(doomed_locator)
    assert not storage.is_pinned(doomed_locator)
    freed = storage.collect()

    assert freed >= 2 * MIB
    assert storage.fetch(kept_locator, max_bytes=len(kept)) == kept
    assert storage.is_pinned(kept_locator)
    with pytest.raises(Unavailable):
        storage.fetch(doomed_locator, max_bytes=len(doomed), timeout=1)
    assert storage.add(doomed) == doomed_locator
    assert storage.fetch(doomed_locator, max_bytes=len(doomed)) == doomed


def test_collect__nothing_was_unpinned__frees_nothing(storage: Storage) -> None:
    """Everything a role stores is pinned; Kubo itself leaves a folder of some bytes beside each file."""
    storage.collect()
    locator = storage.add(some_bytes(MIB, 33))

    assert storage.collect() < 1000
    assert storage.is_pinned(locator)


def test_unpin__never_pinned_or_twice__is_no_error(storage: Storage) -> None:
    """Every step can be repeated after a crash."""
    locator = storage.add(b"pinned for a while")

    storage.unpin(locator)
    storage.unpin(locator)
    storage.unpin(Locator(some_bytes(32, 34)))

    assert not storage.is_pinned(locator)


def test_version__of_a_node_that_runs__is_told(storage: Storage) -> None:
    """A cheap question that shows the node is there."""
    assert storage.version()


def test_fetch__many_missing_locators__the_node_still_serves_what_it_has(node: KuboProcess) -> None:
    """Kubo's library keeps a thread for each fetch that never ends; its process is replaced before they add up."""
    storage = IpfsStorage(node.api)
    data = some_bytes(MIB, 4)
    locator = storage.add(data)

    for seed in range(6):
        with pytest.raises(Unavailable):
            storage.fetch(Locator(some_bytes(32, 100 + seed)), max_bytes=10, timeout=0.4)

    assert storage.fetch(locator, max_bytes=len(data)) == data
    assert storage.is_pinned(locator)


def test_fetch__from_a_connected_peer__comes_over_bitswap(node: KuboProcess, tmp_path: Path) -> None:
    """Real Kubo: what one node has, a connected one can fetch, pin, and then serve by itself."""
    data = some_bytes(3 * MIB, 5)
    locator = IpfsStorage(node.api).add(data)
    with KuboProcess(tmp_path) as other:
        here = IpfsStorage(other.api)
        with pytest.raises(Unavailable):
            here.fetch(locator, max_bytes=len(data), timeout=0.5)

        here.connect(node.peer_address)

        assert len(here.peers()) == 1
        here.pin(locator, timeout=30)
        assert here.fetch(locator, max_bytes=len(data), timeout=30) == data
        other.stop()
        other.start()
        assert here.is_pinned(locator)
        assert here.fetch(locator, max_bytes=len(data), timeout=30) == data


def test_connect__to_nobody__is_unavailable(node: KuboProcess) -> None:
    """A peer that is not there is one sentence."""
    address = f"/ip4/127.0.0.1/tcp/{free_port()}/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"

    with pytest.raises(Unavailable, match="did not answer"):
        IpfsStorage(node.api).connect(address)


# ------------------------------------------------------------------ nodes that are down or lie


def calls(storage: Storage) -> dict[str, Callable[[], object]]:
    locator = locator_of(b"hello")
    return {
        "add": lambda: storage.add(b"hello"),
        "fetch": lambda: storage.fetch(locator, max_bytes=10, timeout=1),
        "pin": lambda: storage.pin(locator, timeout=1),
        "is_pinned": lambda: storage.is_pinned(locator),
        "unpin": lambda: storage.unpin(locator),
        "collect": storage.collect,
        "version": storage.version,
    }


CALLS = ["add", "fetch", "pin", "is_pinned", "unpin", "collect", "version"]


@pytest.mark.parametrize("call", CALLS)
def test_any_call__no_node_there__says_where_it_looked_and_what_to_do(call: str) -> None:
    """The sentence names the address, `dlbc devnet up` and `ipfs daemon`."""
    port = free_port()
    storage = IpfsStorage(f"/ip4/127.0.0.1/tcp/{port}/http")

    with pytest.raises(StorageUnreachable, match=rf"tcp/{port}/http: run `dlbc devnet up`, or `ipfs daemon`"):
        calls(storage)[call]()


@pytest.mark.parametrize("call", CALLS)
def test_any_call__the_fake_is_down__is_the_same_error(call: str) -> None:
    """Tests of roles meet the error that real life has."""
    storage = MemoryStorage()
    storage.is_down = True

    with pytest.raises(StorageUnreachable):
        calls(storage)[call]()


def test_any_call__an_address_that_is_none__is_unreachable() -> None:
    """Also when it got past the configuration."""
    with pytest.raises(StorageUnreachable, match="no address of an IPFS API"):
        IpfsStorage("/unknown/thing").version()


def not_kubo(connection: Connection) -> None:
    connection.whole(b"<html>It works!</html>")


def null(connection: Connection) -> None:
    connection.whole(b"null")


def empty(connection: Connection) -> None:
    connection.whole(b"")


def a_list(connection: Connection) -> None:
    connection.whole(b"[[]]")


def steering_error(connection: Connection) -> None:
    connection.whole(b'{"Message": "\\u001b]0;owned\\u0007 \\ud800", "Code": 0, "Type": "error"}', 500)


def error_500(connection: Connection) -> None:
    connection.whole(b'{"Message": "merkledag: not found", "Code": 0, "Type": "error"}', 500)


def hang_up(connection: Connection) -> None:
    connection.connection.close()


def short_answer(connection: Connection) -> None:
    connection.head(Content_Length="1000")
    connection.wfile.write(b"hello")


def cut_chunks(connection: Connection) -> None:
    connection.head(Transfer_Encoding="chunked")
    connection.chunk(b"hello")


def no_http(connection: Connection) -> None:
    connection.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest.mark.parametrize(
    "behaviour",
    [not_kubo, null, empty, a_list, steering_error, error_500, hang_up, short_answer, cut_chunks, no_http],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("call", CALLS)
def test_any_call__an_answer_that_is_not_kubos__is_one_of_our_errors(call: str, behaviour: Behaviour) -> None:
    """Whatever listens at that port, no foreign exception and no wrong bytes come out."""
    with LyingServer(behaviour) as server, pytest.raises((Unavailable, VerificationFailed)) as caught:
        calls(IpfsStorage(server.api))[call]()
    assert server.api in str(caught.value)
    assert str(caught.value).isprintable()


def test_add__the_node_names_another_cid__verification_fails() -> None:
    """A node that chunks differently, or lies: the locator on chain must be ours."""

    def other(connection: Connection) -> None:
        connection.whole(b'{"Name": "x", "Hash": "%b", "Size": "5"}' % to_cid(locator_of(b"other")).encode())

    with LyingServer(other) as server, pytest.raises(VerificationFailed, match="named the added bytes"):
        IpfsStorage(server.api).add(b"hello")


def test_fetch__other_bytes__verification_fails() -> None:
    """An untrusted node can't vouch for a CID."""

    def lie(connection: Connection) -> None:
        connection.whole(b"jello")

    with LyingServer(lie) as server, pytest.raises(VerificationFailed, match=r"5 bytes for Qm.* that hash to Qm"):
        IpfsStorage(server.api).fetch(locator_of(b"hello"), max_bytes=10)


@pytest.mark.parametrize("framing", ["chunked", "length", "until it hangs up"])
def test_fetch__an_answer_without_end__is_cut_at_the_cap(framing: str) -> None:
    """However the bytes are framed, no more than the cap (and a block) is held, and the connection is cut."""
    sent = 0

    def endless(connection: Connection) -> None:
        nonlocal sent
        if framing == "chunked":
            connection.head(Transfer_Encoding="chunked")
        elif framing == "length":
            connection.head(Content_Length=str(1 << 40))
        else:
            connection.head()
        block = bytes(MIB)
        while not connection.server.is_over.is_set() and sent < 1 << 30:
            connection.chunk(block) if framing == "chunked" else connection.wfile.write(block)
            sent += len(block)

    with LyingServer(endless) as server:
        with pytest.raises(VerificationFailed, match="more than the 2000000 bytes allowed"):
            IpfsStorage(server.api).fetch(locator_of(b"hello"), max_bytes=2_000_000, timeout=30)
        assert server.was_cut.wait(10)
    assert sent < 64 * MIB


def test_fetch__asked_for_n_bytes__asks_the_node_for_no_more_than_one_further() -> None:
    """Kubo itself stops at `length`, and gives up before we do: honest nodes waste nothing."""

    def right(connection: Connection) -> None:
        connection.whole(b"hello")

    with LyingServer(right) as server:
        assert IpfsStorage(server.api).fetch(locator_of(b"hello"), max_bytes=10, timeout=30) == b"hello"
    assert "length=11" in server.paths[0]
    assert "timeout=28000ms" in server.paths[0]


def stall_at_once(connection: Connection) -> None:
    connection.server.is_over.wait(30)


def stall_in_headers(connection: Connection) -> None:
    connection.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not connection.server.is_over.wait(0.1):
        connection.wfile.write(b"X-Wait: 1\r\n")
        connection.wfile.flush()


def stall_in_body(connection: Connection) -> None:
    connection.head(Content_Length="100")
    connection.wfile.write(b"hel")
    connection.wfile.flush()
    connection.server.is_over.wait(30)


def trickle(connection: Connection) -> None:
    connection.head(Transfer_Encoding="chunked")
    while not connection.server.is_over.wait(0.2):
        connection.chunk(b"x")


@pytest.mark.parametrize(
    "behaviour", [stall_at_once, stall_in_headers, stall_in_body, trickle], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("call", ["fetch", "pin"])
def test_fetch__a_node_that_stalls__is_unavailable_at_the_deadline(call: str, behaviour: Behaviour) -> None:
    """A timeout is for the whole call: sending a byte now and then does not prolong it."""
    with LyingServer(behaviour) as server:
        start = time.monotonic()
        with pytest.raises(Unavailable, match="within 1 s"):
            calls(IpfsStorage(server.api))[call]()
        assert 0.9 < time.monotonic() - start < 3


def test_any_call__a_proxy_in_the_environment__is_not_told_of_loopback_traffic(
    node: KuboProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed models and test sets do not take a detour through a company's proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert IpfsStorage(node.api).version()


def test_fetch__many_at_once__each_gets_its_own(node: KuboProcess) -> None:
    """Connections are not shared between calls."""
    from concurrent.futures import ThreadPoolExecutor

    storage = IpfsStorage(node.api)
    files = [os.urandom(50_000 + number) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        locators = list(pool.map(storage.add, files))
        fetched = list(pool.map(lambda locator: storage.fetch(locator, max_bytes=60_000), locators))

    assert fetched == files
