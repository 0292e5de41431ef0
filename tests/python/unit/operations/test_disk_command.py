"""`dlbc disk` on a market in memory: what it shows is what it frees, and it never frees beside a running miner."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dlbc import bootstrap
from dlbc.adapters.journal.sqlite import SqliteJournal
from dlbc.cli.main import run
from dlbc.core.retention import KEEP_SECONDS
from dlbc.roles.disk import folder_bytes
from dlbc.roles.entry_record import ENTRY
from fakes.keys import account
from fakes.storage import MemoryStorage
from fakes.world import World

pytestmark = pytest.mark.unit

Ask = Callable[..., Any]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A task that "good" won and "bad" lost, eight days ago; their homes are real folders with real journals."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner("bad", noise=20.0), world.miner("good"))
    world.market.now += KEEP_SECONDS + 86_400
    for name in ("good", "bad"):
        folder = tmp_path / f"miner-{account(name).address}"
        folder.mkdir()
        (tmp_path / name).rename(folder / "work")
        with SqliteJournal(folder) as kept:
            for key, record in world.journal(name).all(ENTRY):
                kept.put(ENTRY, key, record)
    storage = MemoryStorage(world.network)
    storage.pins, storage.held = set(world.network), set(world.network)
    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bootstrap, "chain", lambda config, keys=None: world.onlooker)
    monkeypatch.setattr(bootstrap, "account_address", lambda config, ask=None: account(config.account).address)
    monkeypatch.setattr(bootstrap, "storage", lambda config: storage)
    return world


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs `dlbc disk` as an account; its JSON, or its text with `text=True`."""

    def asked(name: str, *options: str, code: int = 0, text: bool = False) -> Any:
        capsys.readouterr()
        assert run(["disk", *options, "--account", name, *([] if text else ["--json"])]) == code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return out if text else json.loads(out)

    return asked


def folder_of(world: World, name: str) -> Path:
    return world.folder / f"miner-{account(name).address}" / "work"


def test_disk__free__does_what_was_shown(world: World, ask: Ask) -> None:
    """First a look, which changes nothing; then the same is freed; then there is nothing more."""
    (shown,) = ask("bad")["entries"]
    assert shown["freedFileBytes"] == shown["fileBytes"] == folder_bytes(folder_of(world, "bad"))
    assert shown["freedPinBytes"] == shown["pinBytes"] > 0

    freed = ask("bad", "--free")["freed"]

    assert (freed["fileBytes"], freed["pinBytes"]) == (shown["freedFileBytes"], shown["freedPinBytes"])
    assert freed["repositoryBytes"] >= freed["pinBytes"]
    assert folder_bytes(folder_of(world, "bad")) == 0
    (left,) = ask("bad")["entries"]
    assert (left["fileBytes"], left["pinBytes"], left["whyItStays"]) == (0, 0, "nothing is left")


def test_disk__a_winner__says_why_its_pins_stay(world: World, ask: Ask) -> None:
    """In 80 columns, for people."""
    told = ask("good", "--free", text=True)
    assert "pins: it won: others fetch it" in told
    assert max(len(line) for line in told.splitlines() if not line.startswith("Kept")) <= 80
    assert ask("good")["entries"][0]["pinBytes"] > 0
    assert ask("good")["entries"][0]["phase"] == "Settled"


def test_disk__keep__longer_than_ago__pins_stay(world: World, ask: Ask) -> None:
    """Operators may be more careful."""
    (entry,) = ask("bad", "--keep", "30d")["entries"]
    assert entry["freedPinBytes"] == 0
    assert entry["whyItStays"] == "pins: its windows ended too recently"


def test_disk__free_while_the_miner_runs__is_refused(world: World, ask: Ask) -> None:
    """One writer of a journal; a running miner frees by itself. A look is allowed."""
    with SqliteJournal(folder_of(world, "bad").parent):
        error = ask("bad", "--free", code=1)["error"]
        assert "another process" in error["message"]
        assert ask("bad")["entries"]
    assert folder_bytes(folder_of(world, "bad")) > 0


@pytest.mark.parametrize(("options", "code"), [(("--keep", "soon"), 2), (("--keep", "-1d"), 2)])
def test_disk__a_duration_that_is_none__is_usage(world: World, ask: Ask, options: tuple[str, ...], code: int) -> None:
    """Nothing is freed by a slip."""
    assert ask("bad", "--free", *options, code=code)["error"]["kind"] == "Usage"
    assert folder_bytes(folder_of(world, "bad")) > 0


def test_disk__no_miner_here__says_where_it_looked(world: World, ask: Ask) -> None:
    """An account that never mined in this home."""
    assert "nothing is kept" in ask("requester", code=1)["error"]["message"]
