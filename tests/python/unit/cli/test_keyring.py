"""Passwords in the system's keyring: kept only if they are right, used only if asked for, and never a traceback."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.errors
import pytest
from dlbc import bootstrap
from dlbc.adapters import keyring_store, keys
from dlbc.cli import wallet
from dlbc.cli.main import run
from dlbc.config import Config
from dlbc.core.errors import Refused, Usage
from keyring.backend import KeyringBackend

pytestmark = pytest.mark.unit

PASSWORD = "correct horse"


class MemoryKeyring(KeyringBackend):
    """A keyring of this process; keyring's own way to plug one in."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class LockedKeyring(MemoryKeyring):
    """Nobody is there to unlock it."""

    def get_password(self, service: str, username: str) -> str | None:
        raise keyring.errors.KeyringLocked("the collection is locked")


@pytest.fixture
def ring() -> Iterator[MemoryKeyring]:
    before, mine = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account `alice`, no password file and no terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.setattr(keys, "create_keystore", functools.partial(keys.create_keystore, quick=True))
    keys.create_keystore("alice", tmp_path, PASSWORD)
    return tmp_path


def opened(home: Path, **settings: object) -> object:
    return bootstrap.keys(Config(home=home, account="alice", **settings)).address  # type: ignore[arg-type]


def test_wallet_keyring__the_right_password__opens_the_account_from_then_on(
    home: Path, ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed once; then a daemon without a terminal starts, and forgetting ends that."""
    monkeypatch.setattr(wallet, "ask_on_terminal", lambda: lambda _: PASSWORD)
    assert run(["wallet", "keyring", "alice", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "alice", "kept": True, "changed": True}
    (_, address) = keys.list_keystores(home)[0]
    assert ring.kept == {("dlbc", address): PASSWORD}
    assert opened(home, keyring=True) == address

    assert run(["wallet", "keyring", "alice", "--forget"]) == 0
    assert "forgotten" in capsys.readouterr().out
    assert ring.kept == {}
    assert run(["wallet", "keyring", "alice", "--forget"]) == 0
    assert "was not in the keyring" in capsys.readouterr().out
    with pytest.raises(Usage, match="dlbc wallet keyring"):
        opened(home, keyring=True)


def test_wallet_keyring__a_wrong_password__is_not_kept(
    ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is tried on the keystore first, and not repeated in the answer."""
    monkeypatch.setattr(wallet, "ask_on_terminal", lambda: lambda _: "battery staple")
    assert run(["wallet", "keyring", "alice"]) == 1
    told = capsys.readouterr()
    assert "does not open" in told.err
    assert "battery" not in told.out + told.err
    assert ring.kept == {}


def test_open_keystore__keyring_not_switched_on__is_not_asked(home: Path, ring: MemoryKeyring) -> None:
    """A keyring may wait for a person; only who wants that has it."""
    with pytest.raises(Usage, match="set DLBC_PASSWORD_FILE"):
        opened(home)
    assert ring.asked == 0


def test_open_keystore__a_password_file__comes_before_the_keyring(home: Path, ring: MemoryKeyring) -> None:
    """The nearer source is asked alone."""
    (home / "password").write_text(PASSWORD)
    assert opened(home, keyring=True, password_file=home / "password")
    assert ring.asked == 0


def test_open_keystore__an_old_password_in_the_keyring__is_refused(home: Path, ring: MemoryKeyring) -> None:
    """It says where the wrong password came from."""
    ring.kept["dlbc", keys.list_keystores(home)[0][1]] = "old"
    with pytest.raises(Refused, match="the password in the system's keyring does not open"):
        opened(home, keyring=True)


def test_keyring__locked__is_one_sentence(home: Path) -> None:
    """What the keyring says, and what to do."""
    before = keyring.get_keyring()
    keyring.set_keyring(LockedKeyring())
    try:
        with pytest.raises(Refused, match=r"can't be used \(the collection is locked\); unlock it"):
            opened(home, keyring=True)
    finally:
        keyring.set_keyring(before)


def test_keyring__package_not_installed__says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional extra."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(Usage, match=r"pip install 'dlbc\[keyring\]'"):
        keyring_store.stored_password("alice")


def test_store_password__keyring_that_keeps_nothing__is_noticed(ring: MemoryKeyring) -> None:
    """The null keyring takes everything and gives nothing."""
    ring.set_password = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(Refused, match="does not give it back"):
        keyring_store.store_password("alice", PASSWORD)
