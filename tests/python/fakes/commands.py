"""The `dlbc` command on a market in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc import bootstrap
from fakes.storage import MemoryStorage
from fakes.trainer import FakeTrainer
from fakes.world import World


def world_of_commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """What the commands see, without an account; they work in an empty folder."""
    (folder / "world").mkdir()
    world = World(folder / "world")
    here = folder / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("DLBC_HOME", str(folder))
    monkeypatch.setattr(bootstrap, "chain", lambda config, keys=None, report=None: world.onlooker)
    monkeypatch.setattr(bootstrap, "storage", lambda config: MemoryStorage(world.network))
    monkeypatch.setattr(bootstrap, "scorer", lambda **_: FakeTrainer())
    return world
