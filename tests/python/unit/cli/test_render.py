"""What people see fits a terminal of 80 columns and can't steer it; what programs see is JSON."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import pytest
from dlbc.cli import render
from dlbc.core.cid import locator_of
from dlbc.core.types import ZERO_ADDRESS, Phase

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (render.difficulty(12_345_678), "12.345"),
        (render.difficulty(0), "0.000"),
        (render.ether_about(0), "0 ether"),
        (render.ether_about(399_888_394_999_218_765), "0.3998 ether"),
        (render.ether_about(10_000 * 10**18 - 1), "9999.9999 ether"),
        (render.ether_about(10**14 - 1), "<0.0001 ether"),
        (render.size(0), "0 B"),
        (render.size(1023), "1023 B"),
        (render.size(16 << 20), "16.0 MiB"),
        (render.size(1 << 50), "1024.0 TiB"),
        (render.moment(0), "-"),
        (render.moment(1_700_000_000), "2023-11-14 22:13:20"),
        (render.short("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"), "0x70997970…79C8"),
        (render.short(b"\x01" * 32), "0x01010101…0101"),
        (render.short(ZERO_ADDRESS), "-"),
        (render.short(""), "-"),
        (render.short("short"), "short"),
        (render.cid(locator_of(b"hello")), "QmWfVY9y3xjsixTgbd9AorQxH7VtMpzfx2HaWtsoUYecaX"),
        (render.printable("a\x1b[2Jb\nc✓"), "a�[2Jb�c✓"),
    ],
)
def test_formats__examples__read_well(shown: str, expected: str) -> None:
    """One example each, the edges included."""
    assert shown == expected


def test_table__wide_cells__stays_within_80_columns_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A hash that does not fit is folded, not cut."""
    hashes = ["0x" + letter * 64 for letter in "ab"]

    render.table("Models", ("task", "model", "miner"), [(1, *hashes)], right=("task",))

    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert "".join(lines).count("a") >= 64
    assert "".join(lines).count("b") >= 64


def test_table__a_strangers_name__is_text_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of tasks come from the network: no styles, no escape sequences."""
    render.table("", ("name",), [("[red]x[/red] \x1b[31m",)])

    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "\x1b" not in out


def test_facts__pairs__are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """Names in one column, values in the next."""
    render.facts("Title", {"a": 1, "long": "x\ny"})

    assert capsys.readouterr().out == "Title\n  a     1\n  long  x�y\n"


def test_print_json__our_types__one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes, enums, dataclasses, paths; integers stay exact."""

    class Plain(IntEnum):
        ONE = 1

    @dataclass(frozen=True, slots=True)
    class Row:
        hash: bytes
        phase: str
        bounty_wei: int

    value = {"row": Row(b"\x01\xff", Phase.VOID.label, 10**30), "path": Path("/a"), "set": {2, 1}, "plain": Plain.ONE}
    render.print_json(value)

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {
        "row": {"hash": "0x01ff", "phase": "Void", "bountyWei": 10**30},
        "path": "/a",
        "set": [1, 2],
        "plain": 1,
    }


def test_print_json__half_a_surrogate_pair__is_json_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """What a stranger wrote must not cost the verdict that it stands in."""
    render.print_json({"found": "a name: \ud800"})
    assert json.loads(capsys.readouterr().out) == {"found": "a name: \ud800"}


def test_print_json__something_else__is_a_mistake_of_ours() -> None:
    """Nothing is turned into text silently."""
    with pytest.raises(TypeError, match="object has no JSON form"):
        render.print_json({"x": object()})


def test_progress__not_a_terminal__a_line_at_start_and_end_on_the_stream() -> None:
    """Logs of CI stay short: not a line for every block."""
    stream = io.StringIO()

    with render.ProgressLines(stream) as progress:
        for done in range(101):
            progress("upload\x1b", done, 100)
        progress("count", 5, 0)

    assert stream.getvalue() == "upload�: 0 %\nupload�: 100 %\ncount: 5\n"


def test_progress__finished_twice__is_told_once() -> None:
    """A last call with the same numbers adds nothing."""
    stream = io.StringIO()

    with render.ProgressLines(stream) as progress:
        progress("x", 1, 1)
        progress("x", 1, 1)

    assert stream.getvalue() == "x: 100 %\n"


def test_progress__a_terminal__bars_are_drawn_and_removed() -> None:
    """On a terminal the bar is transient and knows unknown totals."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with render.ProgressLines(Terminal()) as progress:
        progress("known", 1, 10)
        progress("unknown", 1, 0)
        assert progress._bars is not None
    assert progress._bars is None


def test_table__title_longer_than_the_table__stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A narrow table does not fold its title."""
    render.table("A title that is longer than the table", ("a", "b"), [(1, 2)])
    assert "A title that is longer than the table" in capsys.readouterr().out.splitlines()


def test_table__a_block_of_the_ledger__needs_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The widest row of `ledger show` fits 80 columns unfolded."""
    row = ("1000", render.short(b"\x01" * 32), 1000, render.short("0x" + "2" * 40), "100.00 %", "123.456", "2026-11-22")
    render.table("", ("block", "hash", "task", "miner", "score", "difficulty", "day (UTC)"), [row])
    assert any("2026-11-22" in line and "100.00 %" in line for line in capsys.readouterr().out.splitlines())
