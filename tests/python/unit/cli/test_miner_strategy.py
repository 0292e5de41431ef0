"""`dlbc miner run --strategy`: a name that can't be meant is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc.cli import main

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("serach", "expected default, search or a class as module:Class, found 'serach'"),
        ("nothing_here:Mine", "expected a module nothing_here in "),
    ],
)
def test_miner_run__strategy_that_is_none__is_a_usage_error(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence and exit code 2, without an account, a network or torch."""
    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert main.run(["miner", "run", "--strategy", name]) == 2

    assert said in capsys.readouterr().err
