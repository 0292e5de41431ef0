"""What holds a secret does not show it: not in a repr, not in an error report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dlbc.adapters.keys import KeystoreKeys
from dlbc.adapters.signer import SignerKeys
from dlbc.cli import main
from dlbc.core.secrets import MinerSecrets
from dlbc.core.types import TaskId
from dlbc.ports import TrainJob
from dlbc.roles.entry import MinerEntry
from dlbc.roles.miner import Miner
from dlbc.roles.recovery import Wallet
from fakes.world import World

pytestmark = pytest.mark.unit


def forms(secret: bytes) -> list[str]:
    """As it may be written."""
    return [secret.hex(), secret.hex().upper(), repr(secret)[2:-1], str(int.from_bytes(secret, "big")), repr([*secret])]


@pytest.fixture
def training(tmp_path: Path) -> tuple[World, Miner, MinerEntry, MinerSecrets]:
    """A miner in the middle of its training."""
    world = World(tmp_path)
    world.post()
    miner = world.miner()
    miner.tick()
    (entry,) = miner.entries.values()
    return world, miner, entry, entry.own_secrets()


def known(miner: Miner, secrets: MinerSecrets) -> list[str]:
    """Every form of everything that this miner must keep to itself now."""
    assert isinstance(miner.keys, KeystoreKeys)
    key = bytes(miner.keys._account.key)
    hidden = [key, secrets.prk, secrets.salt, secrets.seal_key, secrets.recovery_key, secrets.init_key]
    return [form for secret in (*hidden, *secrets.slot_keys(8)) for form in forms(secret)]


def test_repr__of_everything_that_holds_a_secret__shows_none(
    training: tuple[World, Miner, MinerEntry, MinerSecrets],
) -> None:
    """An assertion, a log call or a debugger prints reprs."""
    _, miner, entry, secrets = training
    jobs = [value for value in vars(entry.training.handle).values() if isinstance(value, TrainJob)]
    wallet = Wallet(miner.chain, miner.keys, miner.journal)
    things = [miner, entry, secrets, wallet, miner.keys, SignerKeys("http://me:pass@127.0.0.1:1/key", None), *jobs]
    assert jobs
    for thing in things:
        text = repr(thing)
        assert not [form for form in known(miner, secrets) if form in text], type(thing)
        assert "pass" not in repr(things[5])


def test_error_report__an_unexpected_error_beside_secrets__holds_none(
    training: tuple[World, Miner, MinerEntry, MinerSecrets],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """The traceback has no local variables, and what the error shows of our objects is their repr."""
    _, miner, entry, secrets = training

    def fail(*_: Any, **__: Any) -> Any:
        salt, everything = secrets.salt, [entry, secrets, miner]
        raise RuntimeError(f"broken with {everything} and {len(salt)} bytes")

    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.setattr("dlbc.bootstrap.miner", fail)
    assert main.run(["miner", "run", "--json"]) == 1
    told = capsys.readouterr()
    (log,) = (tmp_path / "logs").glob("error-*.log")
    assert log.stat().st_mode & 0o777 == 0o600
    text = told.out + told.err + log.read_text()
    assert "RuntimeError" in text
    assert not [form for form in known(miner, secrets) if form in text]


def test_events__of_a_whole_task__hold_no_secret_before_or_after_it_is_public(tmp_path: Path) -> None:
    """Whatever the log's own filter does: roles do not hand secrets to it in the first place."""
    world = World(tmp_path)
    task_id = world.post()
    miner = world.miner()
    world.play(task_id, miner)
    (entry,) = miner.entries.values()
    assert entry.task_id == TaskId(1)
    text = repr(world.events)
    assert not [form for form in known(miner, entry.own_secrets()) if form in text]
