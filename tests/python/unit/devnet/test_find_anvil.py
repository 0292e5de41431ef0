"""Which Anvil is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc.adapters.devnet import anvil
from dlbc.core.errors import Refused

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from an installed wheel: no node_modules beside the package."""
    monkeypatch.setattr(anvil, "__file__", str(tmp_path / "a/b/c/d/anvil.py"))


def binary(folder: Path, content: bytes = b"\x7fELF") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "anvil"
    file.write_bytes(content)
    file.chmod(0o755)
    return file


def test_find_anvil__named_by_the_environment__wins(tmp_path: Path) -> None:
    """DLBC_ANVIL before everything else."""
    named, other = binary(tmp_path / "one"), binary(tmp_path / "two")

    assert anvil.find_anvil({"DLBC_ANVIL": str(named), "PATH": str(other.parent)}, tmp_path) == named


def test_find_anvil__named_but_missing__is_refused(tmp_path: Path) -> None:
    """A typo is not silently something else."""
    with pytest.raises(Refused, match="DLBC_ANVIL names /nowhere, which does not exist"):
        anvil.find_anvil({"DLBC_ANVIL": "/nowhere"}, tmp_path)


def test_find_anvil__on_the_path__is_found_but_not_a_script(tmp_path: Path) -> None:
    """npm's wrapper is a script whose end leaves the node running."""
    script, real = binary(tmp_path / "npm", b"#!/usr/bin/env node"), binary(tmp_path / "real")

    assert anvil.find_anvil({"PATH": str(real.parent)}, tmp_path) == real
    with pytest.raises(Refused, match="needs Anvil"):
        anvil.find_anvil({"PATH": str(script.parent)}, tmp_path)


def test_find_anvil__nowhere__one_sentence_with_three_ways(tmp_path: Path) -> None:
    """make setup, Foundry, DLBC_ANVIL."""
    with pytest.raises(Refused, match=r"make setup.*getfoundry\.sh.*DLBC_ANVIL") as caught:
        anvil.find_anvil({"PATH": ""}, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"block": {}}', '{"block": {"timestamp": "x"}}'])
def test_saved_time__a_damaged_state__says_how_to_start_over(tmp_path: Path, text: str) -> None:
    """A chain whose file was torn can't be loaded; the user learns what to do."""
    anvil.state_file(tmp_path).write_text(text)

    with pytest.raises(Refused, match=r"is damaged .*--fresh"):
        anvil.saved_time(tmp_path)


def test_saved_time__no_state__is_zero(tmp_path: Path) -> None:
    """The first start."""
    assert anvil.saved_time(tmp_path) == 0
