"""Webhooks and commands as they are: servers that stall, redirect, fail and talk too much, programs that hang."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dlbc.adapters.notify import Webhook, read_secret
from dlbc.adapters.notify_command import Command, split_command
from dlbc.core.errors import TryLater, Usage

pytestmark = pytest.mark.contract

BODY = json.dumps({"id": "1", "kind": "settled", "message": "é"}, ensure_ascii=False).encode()
SECRET = b"0123456789abcdef-secret"


class Server(ThreadingHTTPServer):
    """Answers as `answers` say, the last one again and again; keeps what came."""

    daemon_threads = True

    def __init__(self, *answers: int, location: str = "", body: bytes = b"") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.location, self.body = list(answers), location, body
        self.received: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hooks/token-in-path?x=1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, dict(self.headers), data))
        answers = self.server.answers
        self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        try:
            self.wfile.write(self.server.body)
        except OSError:
            return  # nobody reads answers

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    started: list[Server] = []

    def start(*answers: int, **more: Any) -> Server:
        server = Server(*answers, **more)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def send(channel: Webhook | Command) -> None:
    channel.send("1", "settled", BODY)


# ------------------------------------------------------------------ webhook


def test_webhook__taken__arrives_whole_and_signed(serve: Callable[..., Server]) -> None:
    """The signature is over the exact bytes, as GitHub's are."""
    server = serve(204)
    send(Webhook(server.url, SECRET))
    ((path, headers, data),) = server.received
    assert (path, data) == ("/hooks/token-in-path?x=1", BODY)
    assert headers["Content-Type"] == "application/json"
    assert (headers["X-DLBC-Id"], headers["X-DLBC-Kind"]) == ("1", "settled")
    assert headers["X-DLBC-Signature"] == "sha256=" + hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()


def test_webhook__no_secret__is_not_signed(serve: Callable[..., Server]) -> None:
    """Rather than with an empty one."""
    server = serve(200)
    send(Webhook(server.url))
    assert "X-DLBC-Signature" not in server.received[0][1]


def test_webhook__500_then_200__fails_and_then_arrives(serve: Callable[..., Server]) -> None:
    """Whether it is sent again is the outbox's business."""
    server = serve(500, 200)
    webhook = Webhook(server.url, SECRET)
    with pytest.raises(TryLater, match="answered 500"):
        send(webhook)
    send(webhook)
    assert [data for _, _, data in server.received] == [BODY, BODY]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_webhook__redirects__is_not_followed(serve: Callable[..., Server], status: int) -> None:
    """A notice and its signature go where the owner said, and nowhere else."""
    elsewhere = serve(200)
    server = serve(status, location=elsewhere.url)
    with pytest.raises(TryLater, match="redirects are not followed"):
        send(Webhook(server.url, SECRET))
    assert elsewhere.received == []


def test_webhook__endless_answer__is_not_read(serve: Callable[..., Server]) -> None:
    """The first line is all that counts."""
    server = serve(200, body=b"x" * (64 << 20))
    began = time.monotonic()
    send(Webhook(server.url))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("trickle", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_webhook__stalls_or_trickles__ends_in_time(trickle: bytes) -> None:
    """Timeouts of sockets restart with every byte; the deadline does not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(trickle)
                    while not stop.wait(0.05):
                        if trickle:
                            connection.sendall(b"a")
                except OSError:
                    return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        with pytest.raises(TryLater, match=r"no answer within 0\.5 s"):
            send(Webhook(f"http://127.0.0.1:{server.getsockname()[1]}/", seconds=0.5))
        assert time.monotonic() - began < 5
        stop.set()
        thread.join(10)


def test_webhook__nobody_there__shows_neither_path_nor_secret() -> None:
    """Paths of webhooks are passwords."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    webhook = Webhook(f"http://127.0.0.1:{port}/hooks/token-in-path", SECRET)
    with pytest.raises(TryLater) as caught:
        send(webhook)
    told = f"{caught.value} {webhook!r}"
    assert f"http://127.0.0.1:{port}" in told
    assert "token" not in told
    assert "0123456789" not in told


def test_webhook__https_with_a_certificate_of_nobody__is_refused(serve: Callable[..., Server]) -> None:
    """Certificates are checked; here the other side does not even speak TLS."""
    server = serve(200)
    with pytest.raises(TryLater, match="was not reached"):
        send(Webhook(server.url.replace("http:", "https:")))
    assert server.received == []


@pytest.mark.parametrize("url", ["ftp://x/", "hooks.example.org", "http://", "http://me:word@x/", "http://x/\r\nA: b"])
def test_webhook__no_http_url__is_usage(url: str) -> None:
    """Said when the daemon starts, without what may be a password in it."""
    with pytest.raises(Usage, match="notify_url") as caught:
        Webhook(url)
    assert "word@" not in str(caught.value)


# ------------------------------------------------------------------ its secret


def test_read_secret__private_file__is_its_bytes_without_the_line_end(tmp_path: Path) -> None:
    """As `openssl rand -hex 32 > FILE` writes it."""
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert read_secret(file) == SECRET


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [(SECRET, 0o644, "may be read by others"), (b"short\n", 0o600, "16 to 4096 bytes"), (None, 0, "can't be read")],
)
def test_read_secret__open_to_all_or_short_or_missing__is_usage(
    tmp_path: Path, content: bytes | None, mode: int, said: str
) -> None:
    """In one sentence that says what to do."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    with pytest.raises(Usage, match=said):
        read_secret(file)


# ------------------------------------------------------------------ commands


def program(tmp_path: Path, text: str) -> list[str]:
    """A Python program's words."""
    file = tmp_path / "program.py"
    file.write_text(text)
    return [sys.executable, str(file), "an argument; $(touch never)"]


def test_command__runs__gets_the_notice_and_its_words_without_a_shell(tmp_path: Path) -> None:
    """What a shell would do with its arguments does not happen."""
    out = tmp_path / "out"
    words = program(tmp_path, f"import sys; open({str(out)!r}, 'w').write(sys.argv[1] + '\\n' + sys.stdin.read())")
    send(Command(words))
    assert out.read_text() == "an argument; $(touch never)\n" + BODY.decode()
    assert not Path("never").exists()


def test_command__fails__its_code_and_last_line_are_told(tmp_path: Path) -> None:
    """Without what could steer a terminal."""
    words = program(tmp_path, "print('first'); print('no \\x1b[31mmail server'); raise SystemExit(7)")
    with pytest.raises(TryLater, match=r"ended with code 7: no �\[31mmail server; a daemon runs it again"):
        send(Command(words))


def test_command__does_not_read__is_none_the_worse(tmp_path: Path) -> None:
    """A notice fits into a pipe."""
    send(Command(program(tmp_path, "pass")))


def test_command__prints_without_end__fills_no_memory(tmp_path: Path) -> None:
    """The end of it is kept."""
    words = program(tmp_path, "import sys\nfor i in range(200_000): print('x' * 100)\nprint('last')\nsys.exit(1)")
    with pytest.raises(TryLater, match="code 1: last"):
        send(Command(words))


def test_command__hangs__is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """A grandchild that ignores signals and holds the output is no way around the limit."""
    pids = tmp_path / "pids"
    text = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "print('waiting', flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    began = time.monotonic()
    with pytest.raises(TryLater, match="took longer than 2 s and was ended: waiting"):
        send(Command(program(tmp_path, text), seconds=2))
    assert time.monotonic() - began < 20
    deadline = time.monotonic() + 10
    for line in pids.read_text().split():
        while is_running(int(line)):
            assert time.monotonic() < deadline, "it still runs"
            time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_command__the_daemon_ends__so_does_the_program(tmp_path: Path) -> None:
    """It is run again by the next process."""
    started = tmp_path / "started"
    command = Command(program(tmp_path, f"import time; open({str(started)!r}, 'w'); time.sleep(600)"))
    errors: list[BaseException] = []

    def run() -> None:
        try:
            send(command)
        except TryLater as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 30
    while not started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    command.close()
    thread.join(30)
    assert "was ended by signal 9" in str(errors[0])


def test_command__gone_meanwhile__is_tried_again(tmp_path: Path) -> None:
    """A program that is being updated, for instance."""
    with pytest.raises(TryLater, match="could not be started"):
        send(Command([str(tmp_path / "nothing")]))


@pytest.mark.parametrize("text", ["", "  ", "mail 'open", "/no/such/program -x"])
def test_split_command__no_program__is_usage(text: str) -> None:
    """Said when the daemon starts."""
    with pytest.raises(Usage, match="notify_command"):
        split_command(text, "notify_command")


def test_split_command__quotes__are_words() -> None:
    """As in a shell."""
    assert split_command("/bin/sh -c 'cat > /tmp/x y'", "x") == ["/bin/sh", "-c", "cat > /tmp/x y"]
