"""Dashboards search for events by name: docs/operators.md lists every one, and none that is never reported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[4]
REPORTS = ("report", "_report", "log", "_logged", "logged")
EVENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def reported() -> dict[str, str]:
    """Event → where, from every call such as `self.report("model_sealed", …)` in the client's roles and commands."""
    found: dict[str, str] = {}
    for file in sorted((ROOT / "client/dlbc").rglob("*.py")):
        for call in calls(ast.parse(file.read_text())):
            found.setdefault(call, file.relative_to(ROOT).as_posix())
    return found


def calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        first = node.args[0] if node.args else None
        if name in REPORTS or (name == "_sent" and len(node.args) > 2):
            first = node.args[2] if name == "_sent" else first
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and EVENT.fullmatch(first.value):
                yield first.value
        elif isinstance(node.func, ast.Call) and first is not None:  # event_log()("…")
            inner = getattr(node.func.func, "attr", None) or getattr(node.func.func, "id", None)
            if inner == "event_log" and isinstance(first, ast.Constant):
                yield str(first.value)


def documented() -> set[str]:
    """First column of the table under "Events"."""
    text = (ROOT / "docs/operators.md").read_text()
    section = text.split("\n## Events\n", 1)[1].split("\n## ", 1)[0]
    return {
        name for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }


def test_events__of_the_source__are_documented() -> None:
    """A new event needs a row in docs/operators.md."""
    missing = {name: where for name, where in reported().items() if name not in documented()}
    assert missing == {}, "add these to the table under Events in docs/operators.md"


def test_events__that_are_documented__are_reported() -> None:
    """A row without an event would be waited for in vain."""
    assert documented() - set(reported()) == set()


def test_reported__known_events__are_found() -> None:
    """The search itself works, for each way an event is reported."""
    assert {"model_committed", "vote_collected", "try_later", "stopped", "disk_freed"} <= set(reported())
