"""SIGKILL while a journal is being written."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from dlbc.adapters.journal.sqlite import SqliteJournal

pytestmark = pytest.mark.chaos

WRITER = """
import sys, pathlib
from dlbc.adapters.journal.sqlite import SqliteJournal
journal = SqliteJournal(pathlib.Path(sys.argv[1]))
first = int(sys.argv[2])
for number in range(first, first + 1_000_000):
    journal.put("pair", str(number), {"number": number, "again": [number] * 50})
    journal.put("latest", "latest", {"number": number})
    print(number, flush=True)
"""


def test_journal__killed_while_writing__nothing_is_torn_and_nothing_told_is_lost(tmp_path: Path) -> None:
    """What `put` returned for is there afterwards, whole; the next process goes on from it."""
    seeded = random.Random(1)
    told = 0
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(told + 1)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(seeded.randint(1, 60)):
                told = int(writer.stdout.readline())
            writer.kill()
            told = max([told, *map(int, writer.stdout.read().split())])

        with SqliteJournal(tmp_path) as journal:
            records = journal.all("pair")
            latest = journal.get("latest", "latest")
        numbers = [record["number"] for _, record in records]
        assert numbers[:told] == list(range(1, told + 1))
        assert len(numbers) in (told, told + 1)
        assert all(record["again"] == [record["number"]] * 50 for _, record in records)
        assert latest is not None
        assert latest["number"] in (told, told + 1)
