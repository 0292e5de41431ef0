"""The demo's task files."""

from __future__ import annotations

import tomllib

import pytest
from dlbc.cli.demo_stage import with_long_windows
from dlbc.core.task_template import task_template

pytestmark = pytest.mark.unit


def test_with_long_windows__template__changes_windows_and_nothing_else() -> None:
    """All five are three hours but for those named; the rest of the file is as it was."""
    template = task_template("task.toml", "digits", "mlp")
    before, after = tomllib.loads(template), tomllib.loads(with_long_windows(template, train="2d"))
    assert after["windows"] == {"train": "2d", "release": "3h", "reveal": "3h", "open": "3h", "challenge": "3h"}
    assert before | {"windows": after["windows"]} == after
