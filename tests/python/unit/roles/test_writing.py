"""Files that are whole or not there, whoever else writes them, and whatever somebody left in their place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dlbc.roles.artifacts import write_atomically

pytestmark = pytest.mark.unit


def test_write__two_at_a_time__the_second_is_refused_and_the_first_is_whole(tmp_path: Path) -> None:
    """Else the second would take the half-written file away, and the first one rename what the second has begun."""
    file = tmp_path / "model"

    def chunks() -> Iterator[bytes]:
        yield b"one "
        with pytest.raises(OSError, match="another process writes it now"):
            write_atomically(file, [b"two"])
        assert not file.exists()
        yield b"whole"

    write_atomically(file, chunks())
    assert file.read_bytes() == b"one whole"
    write_atomically(file, [b"three"])
    assert file.read_bytes() == b"three"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_write__broken_off__leaves_what_was_there(tmp_path: Path) -> None:
    """Half a file has no name."""
    file = tmp_path / "model"
    file.write_bytes(b"before")

    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("the rest does not come")

    with pytest.raises(ValueError, match="the rest"):
        write_atomically(file, chunks())
    assert file.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "hard link", "pipe", "half of an earlier one"])
def test_write__something_in_its_place__is_replaced_and_what_it_leads_to_is_left(tmp_path: Path, kind: str) -> None:
    """Somebody else may have put it there."""
    file, precious = tmp_path / "out" / "model", tmp_path / "precious"
    partial = tmp_path / "out" / "model.partial"
    file.parent.mkdir()
    precious.write_bytes(b"precious")
    if kind == "link":
        partial.symlink_to(precious)
    elif kind == "link to nowhere":
        partial.symlink_to(tmp_path / "nowhere")
    elif kind == "hard link":
        partial.hardlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(partial)
    else:
        partial.write_bytes(b"half" * 1000)
    write_atomically(file, [b"whole"])
    assert file.read_bytes() == b"whole"
    assert precious.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()
    assert [path.name for path in file.parent.iterdir()] == ["model"]
