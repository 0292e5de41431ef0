"""`dlbc doctor` as a whole: every check is made, whatever the others do, and the exit code tells scripts."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlbc import bootstrap
from dlbc.adapters.checkup import Check, checks_of, run
from dlbc.adapters.journal.sqlite import SqliteJournal
from dlbc.adapters.keys import create_keystore
from dlbc.cli import main
from dlbc.config import Config
from dlbc.core.checkup import Finding, State, ok, problem, warning
from dlbc.core.errors import ChainUnreachable, Refused

pytestmark = pytest.mark.unit


def raising(error: Exception) -> Finding:
    raise error


def test_run__checks_that_fail_hang_or_break__hide_no_other() -> None:
    """Each has a deadline; what depends on a failed one is skipped, and says on which."""
    never = threading.Event()
    checks = [
        Check("hangs", lambda: ok("hangs", str(never.wait())), seconds=0.05),
        Check("refuses", lambda: raising(ChainUnreachable("nobody answers; start it"))),
        Check("breaks", lambda: raising(ZeroDivisionError("a bug"))),
        Check("depends", lambda: ok("depends", "never measured"), needs="refuses"),
        Check("depends on that", lambda: ok("depends on that", "never measured"), needs="depends"),
        Check("works", lambda: ok("works", "well")),
    ]

    found = {finding.name: finding for finding in run(checks)}

    never.set()
    assert {name: finding.state for name, finding in found.items()} == {
        "hangs": State.PROBLEM,
        "refuses": State.PROBLEM,
        "breaks": State.PROBLEM,
        "depends": State.SKIPPED,
        "depends on that": State.SKIPPED,
        "works": State.OK,
    }
    assert "no answer within 0 s" in found["hangs"].found
    assert found["refuses"].todo == "nobody answers; start it"
    assert "see refuses" in found["depends"].found


def measure(config: Config, name: str) -> Finding:
    """One of the real checks."""
    (check,) = [check for check in checks_of(config) if check.name == name]
    (finding,) = run([Check(check.name, check.measure)])
    return finding


def test_keystore__readable_by_others__is_a_problem(tmp_path: Path) -> None:
    """An encrypted key is still no public file."""
    file, address = create_keystore("me", tmp_path, "secret", quick=True)
    config = Config(home=tmp_path, account="me")
    assert measure(config, "keystore").state is State.OK
    assert address in measure(config, "keystore").found
    file.chmod(0o644)
    assert measure(config, "keystore").state is State.PROBLEM
    assert "secret" not in str(measure(config, "keystore"))


def test_password__file_missing_or_public__is_a_problem(tmp_path: Path) -> None:
    """A daemon finds out before it is needed."""
    file = tmp_path / "password"
    config = Config(home=tmp_path, password_file=file)
    assert measure(config, "password").state is State.PROBLEM
    file.write_text("secret")
    file.chmod(0o600)
    assert measure(config, "password").state is State.OK
    file.chmod(0o640)
    assert measure(config, "password").state is State.PROBLEM
    assert "secret" not in str(measure(config, "password"))


def test_password__without_its_keystore_or_its_file__is_not_said_to_open_anything(tmp_path: Path) -> None:
    """An account with a typo has no keystore to try; a file with a typo in its name does not exist."""
    file = tmp_path / "password"
    file.write_text("a secret")
    file.chmod(0o600)
    config = Config(home=tmp_path, account="nobody", password_file=file)
    assert measure(config, "password").state is State.SKIPPED
    assert measure(config, "password").found == "not checked: see keystore"
    assert measure(Config(home=tmp_path, account="nobody", keyring=True), "password").state is State.SKIPPED

    file.unlink()
    assert measure(Config(home=tmp_path, password_file=file), "password").found == f"{file} does not exist"


def test_password__of_another_keystore__is_a_problem(tmp_path: Path) -> None:
    """It is tried, so that a daemon does not find out at its first start."""
    create_keystore("me", tmp_path, "secret", quick=True)
    file = tmp_path / "password"
    file.write_text("battery staple")
    file.chmod(0o600)
    config = Config(home=tmp_path, account="me", password_file=file)
    assert measure(config, "password").state is State.PROBLEM
    assert "does not open" in measure(config, "password").found
    assert "battery" not in str(measure(config, "password"))
    file.write_text("secret\n")
    assert measure(config, "password").state is State.OK


def test_password__nowhere_and_no_terminal__says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked, so nothing waits for an answer."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    create_keystore("me", tmp_path, "secret", quick=True)
    found = measure(Config(home=tmp_path, account="me"), "password")
    assert found.state is State.WARNING
    assert "DLBC_PASSWORD_FILE" in found.todo
    assert "dlbc wallet keyring" in found.todo


def test_keyring__entry_missing_wrong_and_right__is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyring is asked for this account's password, and what it gives is tried."""
    _, address = create_keystore("me", tmp_path, "secret", quick=True)
    kept: dict[str, str] = {}
    monkeypatch.setattr("dlbc.adapters.keyring_store.stored_password", kept.get)
    config = Config(home=tmp_path, account="me", keyring=True)
    assert measure(config, "password").todo == "`dlbc wallet keyring me`"
    kept[address] = "another"
    assert "does not open" in measure(config, "password").found
    kept[address] = "secret"
    assert measure(config, "password") == ok("password", "the one in the system's keyring opens the keystore")
    assert measure(Config(home=tmp_path, keyring=True), "password").state is State.WARNING


def test_keyring__locked_or_not_installed__is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal nobody can unlock it."""
    create_keystore("me", tmp_path, "secret", quick=True)

    def locked(account: str) -> str | None:
        raise Refused("the system's keyring can't be used (locked); unlock it, or set DLBC_PASSWORD_FILE")

    monkeypatch.setattr("dlbc.adapters.keyring_store.stored_password", locked)
    found = measure(Config(home=tmp_path, account="me", keyring=True), "password")
    assert found.state is State.PROBLEM
    assert "unlock it" in found.todo


def test_journal__damaged_or_malformed__is_a_problem(tmp_path: Path) -> None:
    """Also while a daemon has it open."""
    folder = tmp_path / "miner-0x00000000000000000000000000000000000000aa"
    config = Config(home=tmp_path)
    assert measure(config, "journal").found == "none yet"
    with SqliteJournal(folder) as kept:
        kept.put("entry", f"{'ab' * 32}/0", {"task_id": 1, "round": 0, "stage": "training"})
        assert measure(config, "journal").found == "miner 00aa: 1 entry"
        kept.put("entry", "strange", {"task_id": 1})
        assert "1 of 2 entries" in measure(config, "journal").found
    (folder / "journal.sqlite").write_bytes(b"not a database at all" * 100)
    assert measure(config, "journal").state is State.PROBLEM


def test_machine__python_packages_disk_gpu_and_clock__are_told(tmp_path: Path) -> None:
    """On the machine that runs the tests nothing of this is a problem."""
    config = Config(home=tmp_path / "not/there/yet")
    for name in ("python", "packages", "disk", "time service"):
        assert measure(config, name).state is not State.PROBLEM


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([ok("a", "fine")], 0),
        ([ok("a", "fine"), warning("b", "hm", "look")], 0),
        ([problem("a", "bad", "do it"), ok("b", "fine")], 1),
    ],
)
def test_doctor__findings__exit_code_and_json(
    findings: list[Finding],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """0 unless there is a problem; the table fits 80 columns."""

    def checkup(config: Config) -> tuple[int, Iterator[Finding]]:
        return len(findings), iter(findings)

    monkeypatch.setattr(bootstrap, "checkup", checkup)
    assert main.run(["doctor", "--home", str(tmp_path), "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is (code == 0)
    assert [check["name"] for check in told["checks"]] == [finding.name for finding in findings]
    assert main.run(["doctor", "--home", str(tmp_path)]) == code
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert all(finding.todo in shown for finding in findings)
