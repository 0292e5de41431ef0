"""`dlbc task post` on a market in memory: what it says at the end keeps the bond safe."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc import bootstrap
from dlbc.adapters.journal.sqlite import SqliteJournal
from dlbc.cli.main import run
from fakes.keys import account
from fakes.world import TASK, World

pytestmark = pytest.mark.unit

COLUMNS = 80


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A requester who has written a task file."""
    world = World(tmp_path / "world")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLBC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DLBC_ACCOUNT", "requester")
    monkeypatch.setattr(bootstrap, "requester", lambda config, report, ask=None: world.requester())
    Path("TASK.toml").write_text(TASK)
    return world


@pytest.mark.usefixtures("world")
def test_post__nothing_runs__names_the_daemon_first_and_then_the_watch(capsys: pytest.CaptureFixture[str]) -> None:
    """Both as commands that can be copied."""
    assert run(["task", "post", "--yes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    asked = [line.strip() for line in lines if line.startswith("  dlbc ")]
    assert asked == ["dlbc --account requester requester run", "dlbc --account requester task watch 1 --release"]


@pytest.mark.usefixtures("world")
def test_post__daemon_runs__there_is_nothing_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It follows what is posted meanwhile."""
    journal = SqliteJournal(tmp_path / "home" / f"requester-{account('requester').address}" / "daemon")
    try:
        assert run(["task", "post", "--yes"]) == 0
    finally:
        journal.close()
    told = capsys.readouterr().out
    assert "Your `dlbc requester run` releases its test set on time." in told
    assert "task watch" not in told
