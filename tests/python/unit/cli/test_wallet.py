"""`dlbc wallet`, as far as it needs no chain."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from dlbc.adapters import keys
from dlbc.cli import wallet
from dlbc.cli.main import run

pytestmark = pytest.mark.unit

KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, a password file, no terminal, and a quick key derivation."""
    (tmp_path / "password").write_text("secret")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.setenv("DLBC_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setattr(keys, "create_keystore", functools.partial(keys.create_keystore, quick=True))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return dict(json.loads(capsys.readouterr().out))


def test_wallet_new__a_name__is_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The new account's address and file are told, and `list` shows it."""
    assert run(["wallet", "new", "alice", "--json"]) == 0
    made = told(capsys)
    assert made["file"] == str(home / "keys/alice.json")

    assert run(["wallet", "list", "--json"]) == 0
    assert told(capsys) == {"accounts": [{"name": "alice", "address": made["address"]}]}


def test_wallet_new__for_people__says_which_password_protects_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A password taken from a file is not taken silently."""
    assert run(["wallet", "new", "alice"]) == 0

    assert f"password  the one in {home / 'password'}" in capsys.readouterr().out


def test_wallet_new__no_terminal_and_no_password_file__is_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing waits for an answer that can't come."""
    monkeypatch.delenv("DLBC_PASSWORD_FILE")

    assert run(["wallet", "new", "alice"]) == 2
    assert "set DLBC_PASSWORD_FILE" in capsys.readouterr().err


def test_wallet_list__empty__says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty home is no error."""
    assert run(["wallet", "list"]) == 0
    assert "dlbc wallet new NAME" in capsys.readouterr().out


def test_wallet_import__from_a_file__is_that_account(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The key never stands on the command line, nor in what is printed."""
    (home / "key").write_text(KEY)

    assert run(["wallet", "import", "bob", "--file", "key", "--json"]) == 0

    out, err = capsys.readouterr()
    assert json.loads(out)["address"] == ADDRESS
    assert KEY not in out + err
    assert KEY not in (home / "keys/bob.json").read_text()


def test_wallet_import__typed_on_a_terminal__is_that_account(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The prompt hides what is typed; the answer is checked like a file's."""
    monkeypatch.setattr(wallet, "ask_on_terminal", lambda: lambda _: KEY)

    assert run(["wallet", "import", "bob", "--json"]) == 0
    assert told(capsys)["address"] == ADDRESS

    monkeypatch.setattr(wallet, "ask_on_terminal", lambda: lambda _: KEY[:-1])
    assert run(["wallet", "import", "carol"]) == 1
    assert "found 63 characters" in capsys.readouterr().err


def test_wallet_import__no_file_and_no_terminal__is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no third way to hand over a key."""
    assert run(["wallet", "import", "bob"]) == 2
    assert "from a terminal or from --file" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["new", "alice"], ["import", "alice", "--file", "key"]])
def test_wallet__the_name_is_taken__is_refused(
    home: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither command replaces a keystore."""
    (home / "key").write_text(KEY)
    assert run(["wallet", "new", "alice"]) == 0
    before = (home / "keys/alice.json").read_bytes()

    assert run(["wallet", *command]) == 1

    assert "exists already" in capsys.readouterr().err
    assert (home / "keys/alice.json").read_bytes() == before


def test_wallet_balance__no_account__is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Which account is never guessed."""
    assert run(["wallet", "balance"]) == 2
    assert "no account was named" in capsys.readouterr().err


def test_wallet_withdraw__to_a_mistyped_address__is_usage_before_anything_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Money sent to a typo is gone: the checksum is checked first."""
    assert run(["wallet", "new", "alice"]) == 0

    assert run(["wallet", "withdraw", "alice", "--to", ADDRESS.replace("F6F4", "f6F4")]) == 2
    assert "--to: the checksum of address" in capsys.readouterr().err
