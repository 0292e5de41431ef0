"""The embedded node's RPC API, spoken to byte by byte."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import libkubo_file
import pytest
from dlbc.adapters.devnet.kubo_http import KUBO_VERSION
from dlbc.adapters.devnet.process import wait_until
from dlbc.core.cid import locator_of, to_cid
from kubo_process import KuboProcess
from sockets import family, listening

pytestmark = pytest.mark.contract

HELLO = to_cid(locator_of(b"hello"))
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n'
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboProcess]:
    flags = ("--max-add-bytes", "1000000", "--max-fetch-bytes", "900000")
    with KuboProcess(tmp_path_factory.mktemp("node"), *flags) as started:
        yield started


def ask(
    node: KuboProcess, path: str, body: bytes = b"", headers: dict[str, str] | None = None, method: str = "POST"
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    try:
        connection.request(method, f"/api/v0/{path}", body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def add(node: KuboProcess, data: bytes, query: str = "") -> str:
    status, answer = ask(node, f"add{query}", FORM % (b"f", data) + b"--x--", MULTIPART)
    assert status == 200, answer
    return str(json.loads(answer)["Hash"])


def pins(node: KuboProcess) -> set[str]:
    return set(json.loads(ask(node, "pin/ls")[1])["Keys"])


def test_version__of_the_library__is_the_kubo_it_was_built_from(node: KuboProcess) -> None:
    """The number is in the library's build information; a new library must change ours."""
    assert node.post("version")["Version"] == KUBO_VERSION
    assert libkubo_file.built_from("github.com/ipfs/kubo") == f"v{KUBO_VERSION}"


def test_add__one_file__answers_like_kubo(node: KuboProcess) -> None:
    """Name, Hash, Size; pinned."""
    status, answer = ask(node, "add?quieter=true&progress=false", FORM % (b"f.txt", b"hello") + b"--x--", MULTIPART)

    assert (status, json.loads(answer)) == (200, {"Name": "f.txt", "Hash": HELLO, "Size": "5"})
    assert HELLO in pins(node)


def test_add__several_files__a_line_each(node: KuboProcess) -> None:
    """As Kubo streams them."""
    status, answer = ask(node, "add", FORM % (b"a", b"1") + FORM % (b"b", b"2") + b"--x--", MULTIPART)

    assert status == 200
    assert [json.loads(line)["Name"] for line in answer.splitlines()] == ["a", "b"]


def test_add__without_pin_or_only_hashed__is_not_pinned(node: KuboProcess) -> None:
    """pin=false and only-hash=true mean what they mean in Kubo; a pin that was there stays."""
    unpinned, hashed = add(node, b"unpinned", "?pin=false"), add(node, b"hashed", "?only-hash=true")
    kept = add(node, b"kept")
    assert add(node, b"kept", "?pin=false") == kept

    assert not pins(node) & {unpinned, hashed}
    assert kept in pins(node)
    assert ask(node, f"cat?arg={unpinned}") == (200, b"unpinned")


@pytest.mark.parametrize(
    "query",
    ["raw-leaves=true", "cid-version=1", "trickle=true", "chunker=size-1", "pin=maybe", "wrap-with-directory=true"],
)
def test_add__an_option_it_does_not_have__is_refused(node: KuboProcess, query: str) -> None:
    """Better no answer than another CID."""
    status, answer = ask(node, f"add?{query}", FORM % (b"f", b"x") + b"--x--", MULTIPART)

    assert status == 400
    assert json.loads(answer)["Type"] == "error"
    assert query.split("=")[0] in json.loads(answer)["Message"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"hello", {"Content-Type": "text/plain"}),
        (b"hello", MULTIPART),
        (b"--x--", MULTIPART),
        (FORM % (b"f", b"cut"), MULTIPART),
        (b"--x\r\nContent-Type: application/x-directory\r\n\r\n\r\n--x--", MULTIPART),
    ],
)
def test_add__not_a_file__is_refused(node: KuboProcess, body: bytes, headers: dict[str, str]) -> None:
    """No form, no boundary, no part, cut off, a directory."""
    status, answer = ask(node, "add", body, headers)

    assert status == 400
    assert json.loads(answer)["Message"]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_add__more_than_the_cap__is_refused_and_leaves_nothing(node: KuboProcess, framing: str) -> None:
    """Whatever the client says about the size; the temporary file goes."""
    head = b"POST /api/v0/add HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as connection:
        if framing == "length":
            connection.sendall(head + b"Content-Length: 2000000\r\n\r\n")
        else:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            body = FORM[:-2] % (b"f", bytes(1_100_000))
            connection.sendall(b"%x\r\n%b\r\n" % (len(body), body))
        status = connection.makefile("rb").readline()

    assert b" 413 " in status
    assert wait_until(lambda: not list((node.repo / "uploads").iterdir()), 5)


def test_add__the_client_hangs_up__nothing_is_added(node: KuboProcess) -> None:
    """Half a file is no file."""
    half = random.Random(7).randbytes(300_000)
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as connection:
        connection.sendall(
            b"POST /api/v0/add HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 900000\r\n\r\n" + FORM[:-2] % (b"f", half)
        )
        assert wait_until(lambda: bool(list((node.repo / "uploads").iterdir())), 5)

    assert wait_until(lambda: not list((node.repo / "uploads").iterdir()), 5)
    assert to_cid(locator_of(half)) not in pins(node)


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("", 0, None),
        ("&offset=0&length=10", 0, 10),
        ("&offset=300000", 300_000, None),
        ("&offset=262100&length=100", 262_100, 262_200),
        ("&length=0", 0, 0),
        ("&offset=9999999", 9_999_999, None),
    ],
)
def test_cat__a_range__is_those_bytes(node: KuboProcess, query: str, first: int, last: int | None) -> None:
    """offset and length as in Kubo."""
    data = random.Random(3).randbytes(600_000)
    cid = add(node, data)

    assert ask(node, f"cat?arg={cid}{query}") == (200, data[first:last])
    assert ask(node, f"cat?arg=/ipfs/{cid}{query}") == (200, data[first:last])


def test_cat__more_than_the_node_fetches__is_cut_off(node: KuboProcess) -> None:
    """Without a stated length the node's own cap holds: the answer ends without its last chunk."""
    cid = add(node, random.Random(4).randbytes(950_000))

    with pytest.raises(http.client.IncompleteRead):
        ask(node, f"cat?arg={cid}")
    status, answer = ask(node, f"pin/add?arg={cid}")
    assert (status, json.loads(answer)["Message"]) == (500, "the file has more than the 900000 bytes this node fetches")


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "arg=",
        "arg=nonsense",
        "arg=Qm1",
        f"arg={HELLO}/path",
        f"arg={HELLO}&arg={HELLO}",
        "arg=../../etc",
        "arg=" + "Q" * 5000,
    ],
)
def test_cat__not_one_cid__is_refused(node: KuboProcess, argument: str) -> None:
    """Only CIDv0 of one file."""
    status, answer = ask(node, f"cat?{argument}")

    assert status == 400
    assert len(json.loads(answer)["Message"]) < 300


@pytest.mark.parametrize("query", ["offset=-1", "length=1.5", "length=" + "9" * 30, "timeout=soon", "timeout=5"])
def test_cat__a_number_that_is_none__is_refused(node: KuboProcess, query: str) -> None:
    """Options are checked before the library sees anything."""
    assert ask(node, f"cat?arg={HELLO}&{query}")[0] == 400


def test_cat__nobody_has_it__is_a_kubo_error_at_the_deadline(node: KuboProcess) -> None:
    """The library would wait for ever."""
    status, answer = ask(node, f"cat?arg={to_cid(locator_of(os.urandom(9)))}&timeout=300ms")

    assert (status, json.loads(answer)) == (500, {"Message": "context deadline exceeded", "Code": 0, "Type": "error"})


def test_pin__rm_then_ls__is_gone_and_a_second_rm_is_an_error(node: KuboProcess) -> None:
    """In Kubo's words, which ipfshttpclient looks for."""
    cid = add(node, b"to be unpinned")

    assert json.loads(ask(node, f"pin/rm?arg={cid}")[1]) == {"Pins": [cid]}
    status, answer = ask(node, f"pin/ls?arg={cid}")
    assert (status, json.loads(answer)["Message"]) == (500, f"path '{cid}' is not pinned")
    assert ask(node, f"pin/rm?arg={cid}")[0] == 500
    assert json.loads(ask(node, f"pin/add?arg={cid}")[1]) == {"Pins": [cid]}
    assert json.loads(ask(node, f"pin/ls?arg={cid}&type=recursive")[1]) == {"Keys": {cid: {"Type": "recursive"}}}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_any_call__not_post__is_not_allowed(node: KuboProcess, method: str) -> None:
    """Kubo's first defence against web pages: links and images are GET."""
    assert ask(node, "id", method=method)[0] == 405


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:5001"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[::ffff"},
        {"Origin": "http://127.0.0.1:8080"},
        {"Origin": "null"},
        {"Referer": "https://evil.example/"},
        {"Sec-Fetch-Site": "cross-site"},
        {"User-Agent": "Mozilla/5.0"},
    ],
)
def test_any_call__from_a_browser_or_by_another_name__is_forbidden(node: KuboProcess, headers: dict[str, str]) -> None:
    """A page can post to loopback, under a name of its own if it controls one: neither gets an answer."""
    status, answer = ask(node, "id", headers=headers)

    assert status == 403
    assert b"Qm" not in answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:5001", "[::1]:5001"])
def test_any_call__by_a_name_of_this_machine__is_answered(node: KuboProcess, host: str) -> None:
    """The names people use."""
    assert ask(node, "id", headers={"Host": host})[0] == 200


def test_any_call__unknown__is_404(node: KuboProcess) -> None:
    """Calls the client does not need are not there, config and shutdown among them."""
    for call in ("config/show", "shutdown", "files/ls", "key/export", "nonsense"):
        assert ask(node, call)[0] == 404


@pytest.mark.parametrize("address", ["", "nonsense", "/ip4/1.2.3.4/tcp/1", "/unix/etc/p2p/Qm"])
def test_swarm_connect__not_a_peer__is_refused(node: KuboProcess, address: str) -> None:
    """Checked before the library sees it."""
    assert ask(node, f"swarm/connect?arg={address}")[0] == 400


def test_swarm_peers__alone__is_an_empty_list(node: KuboProcess) -> None:
    """No bootstrap, no mDNS: a new node knows nobody."""
    assert node.post("swarm/peers") == {"Peers": []}


def test_connection__several_requests__are_answered_on_one(node: KuboProcess) -> None:
    """Keep-alive works, also after a body."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    for _ in range(3):
        connection.request("POST", "/api/v0/add", FORM % (b"f", b"hello") + b"--x--", MULTIPART)
        assert json.loads(connection.getresponse().read())["Hash"] == HELLO
        connection.request("POST", f"/api/v0/cat?arg={HELLO}")
        assert connection.getresponse().read() == b"hello"
    connection.close()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux' /proc")
def test_process__all_its_sockets__are_on_loopback_tcp(node: KuboProcess) -> None:
    """Nothing of the embedded node can be reached from outside, over any protocol."""
    assert node.process is not None
    pids = family(node.process.pid)
    assert len(pids) == 2

    found = listening(pids)

    assert len(found) == 2  # the API, and the swarm
    assert all(address.startswith("tcp 0100007F:") for address in found), found


def test_process__ended_and_started_again__has_everything(tmp_path: Path) -> None:
    """SIGTERM is a clean end with code 0, also while fetches hang; files, pins and identity stay."""
    node = KuboProcess(tmp_path)
    with node:
        cid, peer = add(node, b"kept"), node.post("id")["ID"]
        hanging = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        hanging.request("POST", f"/api/v0/cat?arg={to_cid(locator_of(os.urandom(9)))}")
        assert node.process is not None
        worker = (family(node.process.pid) - {node.process.pid}).pop()
        assert node.stop() == 0
        hanging.close()
        assert wait_until(lambda: not Path(f"/proc/{worker}").exists(), 10)

        node.start()

        assert node.post("id")["ID"] == peer
        assert ask(node, f"cat?arg={cid}") == (200, b"kept")
        assert cid in pins(node)


def test_process__its_kubo_is_killed__answers_again(tmp_path: Path) -> None:
    """The process around the library replaces it; what was added stays."""
    with KuboProcess(tmp_path) as node:
        cid = add(node, b"kept")
        assert node.process is not None
        worker = (family(node.process.pid) - {node.process.pid}).pop()
        os.kill(worker, 9)

        assert ask(node, f"cat?arg={cid}") == (200, b"kept")


def test_process__at_work__writes_nothing_where_it_was_started(tmp_path: Path) -> None:
    """The library logs every step into its working directory; that must not be the user's, nor grow."""
    with KuboProcess(tmp_path) as node:
        add(node, b"something")
        assert {file.name for file in tmp_path.iterdir()} == {"ipfs", "ipfs.log"}
        (log,) = (node.repo / "library").iterdir()
        assert log.resolve() == Path(os.devnull)


def test_process__killed__leaves_no_kubo_behind(tmp_path: Path) -> None:
    """The library's process ends with the one that serves it."""
    with KuboProcess(tmp_path) as node:
        assert node.process is not None
        worker = (family(node.process.pid) - {node.process.pid}).pop()
        node.process.kill()
        node.process.wait()

        assert wait_until(lambda: not Path(f"/proc/{worker}").exists(), 10)


def test_process__its_port_is_taken__one_sentence(node: KuboProcess, tmp_path: Path) -> None:
    """And no Kubo is left running."""
    import sys

    words = [sys.executable, "-m", "dlbc.adapters.devnet.kubo", "--repo", str(tmp_path), "--port", str(node.port)]
    finished = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    assert finished.returncode == 1
    assert finished.stderr == f"error: port {node.port} of 127.0.0.1 can't be used: Address already in use\n"


def test_process__two_on_one_repository__the_second_is_refused(node: KuboProcess) -> None:
    """Kubo's own lock on the repository."""
    import sys

    words = [sys.executable, "-m", "dlbc.adapters.devnet.kubo", "--repo", str(node.repo), "--port", "0"]
    finished = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    assert finished.returncode == 1
    assert "error: Kubo did not start" in finished.stderr
