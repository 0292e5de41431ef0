"""The journal's suite, on the fake and on SQLite, and what only a file can suffer."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dlbc.adapters.journal.sqlite import FILE_NAME, SCHEMA_VERSION, SqliteJournal
from dlbc.core.errors import BadInput, Refused
from dlbc.ports import Journal
from fakes.journal import MemoryJournal

pytestmark = pytest.mark.unit

MAKERS: dict[str, Callable[[Path], Journal]] = {"memory": lambda _: MemoryJournal(), "sqlite": SqliteJournal}


@pytest.fixture(params=list(MAKERS))
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    made = MAKERS[request.param](tmp_path)
    yield made
    made.close()


def test_get__nothing_was_put__is_none(journal: Journal) -> None:
    """An unknown record is None, not an error."""
    assert journal.get("task", "1") is None
    assert journal.all("task") == []


def test_put__then_get__is_the_record(journal: Journal) -> None:
    """Records come back as they went in, unicode and nesting included."""
    record = {"text": "Zeichen ✓", "number": 2**60, "list": [1, None, {"a": True}], "hex": "0x" + "00" * 32}

    journal.put("task", "1", record)

    assert record == journal.get("task", "1")


def test_put__twice__replaces_and_keeps_the_place(journal: Journal) -> None:
    """A replaced record stays where it was first inserted."""
    journal.put("task", "1", {"n": 1})
    journal.put("task", "2", {"n": 2})
    journal.put("task", "1", {"n": 3})

    assert journal.all("task") == [("1", {"n": 3}), ("2", {"n": 2})]


def test_all__several_kinds__only_the_kind_asked_for(journal: Journal) -> None:
    """Kinds do not mix, also when keys are the same."""
    journal.put("task", "1", {"n": 1})
    journal.put("seal", "1", {"n": 2})

    assert journal.all("task") == [("1", {"n": 1})]
    assert journal.get("seal", "1") == {"n": 2}


def test_delete__a_record__only_that_one_goes(journal: Journal) -> None:
    """Deleting is exact, and deleting nothing is no error."""
    journal.put("task", "1", {})
    journal.put("task", "2", {})
    journal.delete("task", "1")
    journal.delete("task", "unknown")

    assert journal.all("task") == [("2", {})]


def test_put__a_value_json_cannot_hold__is_an_error_and_changes_nothing(journal: Journal) -> None:
    """Bytes and NaN are the caller's mistake; what was there stays."""
    journal.put("task", "1", {"n": 1})

    with pytest.raises(TypeError):
        journal.put("task", "1", {"n": b"bytes"})
    with pytest.raises(ValueError):
        journal.put("task", "1", {"n": float("nan")})
    assert journal.get("task", "1") == {"n": 1}


def test_sqlite__opened_again__has_what_was_put(tmp_path: Path) -> None:
    """A journal outlives its process."""
    with SqliteJournal(tmp_path) as journal:
        journal.put("task", "1", {"n": 1})

    with SqliteJournal(tmp_path) as journal:
        assert journal.get("task", "1") == {"n": 1}


def test_sqlite__a_new_file__is_only_for_its_owner(tmp_path: Path) -> None:
    """Journals hold secrets: folder and file keep others out."""
    folder = tmp_path / "miner"
    with SqliteJournal(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600


def test_sqlite__any_journal__writes_through_to_the_disk(tmp_path: Path) -> None:
    """Intent must survive a power cut: WAL with a sync at every commit."""
    with SqliteJournal(tmp_path) as journal:
        assert journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_sqlite__a_second_writer__is_refused_with_the_process_id(tmp_path: Path) -> None:
    """Two daemons on one folder would fight over nonces and secrets."""
    holder = "import sys, pathlib; from dlbc.adapters.journal.sqlite import SqliteJournal\n"
    holder += "journal = SqliteJournal(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Refused, match=rf"another process \(id {other.pid}\) already works in"):
            SqliteJournal(tmp_path)
        other.kill()

    SqliteJournal(tmp_path).close()  # the system freed the lock with the process


def test_sqlite__read_only__sees_records_beside_the_writer_and_writes_nothing(tmp_path: Path) -> None:
    """`status` commands look while the daemon runs."""
    with SqliteJournal(tmp_path) as writer:
        writer.put("task", "1", {"n": 1})
        with SqliteJournal(tmp_path, read_only=True) as reader:
            assert reader.get("task", "1") == {"n": 1}
            with pytest.raises(Refused, match="readonly"):
                reader.put("task", "2", {})


def test_sqlite__read_only_without_a_file__is_refused(tmp_path: Path) -> None:
    """Looking makes no file."""
    with pytest.raises(Refused, match="there is no journal"):
        SqliteJournal(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["not a database at all, but long enough to be one" * 100, "middle"])
def test_sqlite__a_damaged_file__one_sentence_says_it_may_be_deleted(tmp_path: Path, damage: str) -> None:
    """The user learns that nothing is lost, whatever was damaged."""
    with SqliteJournal(tmp_path) as journal:
        for number in range(2000):
            journal._connection.execute(
                "INSERT INTO record (kind, key, value) VALUES ('k', ?, ?)", (str(number), '{"n": "' + "x" * 200 + '"}')
            )
    file = tmp_path / FILE_NAME
    if damage == "middle":
        content = bytearray(file.read_bytes())
        content[4096:-4096] = os.urandom(len(content) - 8192)
        file.write_bytes(content)
    else:
        file.write_text(damage)

    with pytest.raises(BadInput, match=r"is damaged .* it may be deleted") as caught:
        SqliteJournal(tmp_path)
    assert "\n" not in str(caught.value)

    file.unlink()
    SqliteJournal(tmp_path).close()  # and then it works: the lock was given back


def test_sqlite__a_newer_schema__is_refused_untouched(tmp_path: Path) -> None:
    """An older client must not write into a newer journal."""
    SqliteJournal(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()

    with pytest.raises(BadInput, match="written by a newer dlbc"):
        SqliteJournal(tmp_path)


def test_sqlite__the_disk_is_full__is_refused_and_keeps_what_was_there(tmp_path: Path) -> None:
    """A record that could not be written is an error, never silence."""
    with SqliteJournal(tmp_path) as journal:
        journal.put("task", "1", {"n": 1})
        journal._connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(Refused, match="nothing was recorded"):
            journal.put("task", "2", {"n": "x" * 100_000})
        assert journal.all("task") == [("1", {"n": 1})]
