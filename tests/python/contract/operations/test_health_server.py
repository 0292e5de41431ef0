"""The metrics endpoint of a daemon: on loopback, for names of this machine, and never in the daemon's way."""

from __future__ import annotations

import http.client
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from dlbc.adapters.health import CONNECTIONS, Health, HealthServer
from dlbc.adapters.metrics import Metrics
from dlbc.core.errors import Refused

pytestmark = pytest.mark.contract


class Stopwatch:
    """Time that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def server(stopwatch: Stopwatch) -> Iterator[HealthServer]:
    health = Health(stopwatch)
    metrics = Metrics("miner", lambda: health.age)
    with HealthServer(0, health, metrics.text, metrics.content_type) as running:
        yield running


def ask(server: HealthServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers["Content-Type"] or ""
    finally:
        connection.close()


def idle(server: HealthServer) -> socket.socket:
    """Somebody that connects and says nothing."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_server__another_user_holds_many_connections__only_a_few_stay_open(server: HealthServer) -> None:
    """A daemon that has no file descriptor left can neither reveal nor write its journal."""
    strangers = [idle(server) for _ in range(CONNECTIONS)]
    try:
        for _ in range(50):
            with idle(server) as one_more:
                one_more.settimeout(5)
                assert one_more.recv(1) == b"", "closed at once"
    finally:
        for each in strangers:
            each.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            assert ask(server, "/healthz")[:2] == (200, "ok\n")
            break
        except (ConnectionError, http.client.HTTPException):
            assert time.monotonic() < deadline, "a place is free again once they are gone"


def test_server__who_asked_is_gone__writes_no_traceback(
    server: HealthServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """Events are one object a line on the same stderr."""
    for _ in range(20):
        rude = idle(server)
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n" * 3)
        rude.close()
    assert ask(server, "/healthz")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_metrics__asked__are_prometheus_text(server: HealthServer) -> None:
    """With the type that Prometheus expects."""
    status, text, kind = ask(server, "/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert 'dlbc_role{role="miner"} 1.0' in text
    assert "dlbc_tick_age_seconds" in text
    assert "process_resident_memory_bytes" in text


def test_healthz__no_tick_for_long__is_503_with_a_reason(server: HealthServer, stopwatch: Stopwatch) -> None:
    """200 while the daemon is well."""
    assert ask(server, "/healthz")[:2] == (200, "ok\n")
    stopwatch.now = 301.0
    status, text, _ = ask(server, "/healthz")
    assert status == 503
    assert text == "no tick succeeded for 301 s: the last one has not come back\n"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "[", "", "192.168.1.2:9000"])
def test_any_path__a_name_of_another_machine__is_refused(server: HealthServer, host: str) -> None:
    """A web page reaches loopback by a name of its own (DNS rebinding)."""
    assert ask(server, "/metrics", Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:9000"])
def test_any_path__a_name_of_this_machine__is_answered(server: HealthServer, host: str) -> None:
    """Whatever it is called here."""
    assert ask(server, "/healthz", Host=host)[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 501)])
def test_anything_else__is_refused(server: HealthServer, method: str, path: str, status: int) -> None:
    """Nothing can be changed here."""
    assert ask(server, path, method)[0] == status


def test_head__asked__has_no_body(server: HealthServer) -> None:
    """As load balancers do."""
    assert ask(server, "/healthz", "HEAD")[:2] == (200, "")


def test_server__port_is_taken__is_refused_with_the_port(server: HealthServer) -> None:
    """Two daemons need two ports."""
    health = Health(Stopwatch())
    with pytest.raises(Refused, match=rf"can't be served on 127.0.0.1:{server.port} .*choose another metrics_port"):
        HealthServer(server.port, health, lambda: b"", "text/plain")
