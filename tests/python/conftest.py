"""What every Python test gets: exactly one kind, repeatable property tests, and no network where none is promised."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

KINDS = {"unit", "contract", "e2e", "chaos", "storm"}

settings.register_profile("default", max_examples=50, derandomize=True, deadline=None, database=None)
settings.register_profile(
    "deep",
    max_examples=2000,
    derandomize=False,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell that runs the tests in the background has them, and all that they start, ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses a test that is not exactly one of KINDS."""
    for item in items:
        found = KINDS & {marker.name for marker in item.iter_markers()}
        if len(found) != 1:
            raise pytest.UsageError(f"{item.nodeid}: expected one marker of {sorted(KINDS)}, found {sorted(found)}")


@pytest.fixture(autouse=True)
def _no_network_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test that opens a connection fails with a sentence, instead of depending on what answers."""
    if request.node.get_closest_marker("unit") is None:
        return

    def refuse(_socket: socket.socket, address: Any) -> None:
        raise AssertionError(f"a unit test must not open a connection; it tried {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of injected faults, if any were, and their list where DLBC_FAULTS says."""
    from chaos import report

    reports = [each for found in terminalreporter.stats.values() for each in found if hasattr(each, "user_properties")]
    faults = [
        told
        for each in reports
        if getattr(each, "when", "") == "call"
        for name, told in each.user_properties
        if name == report.PROPERTY
    ]
    if faults:
        terminalreporter.section("injected faults")
        for line in report.table(faults):
            terminalreporter.write_line(line)
        if file := os.environ.get("DLBC_FAULTS"):
            Path(file).write_text(json.dumps(faults, indent=1) + "\n")
