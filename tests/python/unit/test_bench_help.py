"""The help of the measurements fits a terminal."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

BENCH = Path(__file__).resolve().parents[3] / "bench"
sys.path.append(str(BENCH))

import _help  # noqa: E402  (lies in bench/)

SCRIPTS = sorted(script for script in BENCH.glob("*.py") if not script.stem.startswith("_"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_help__every_measurement__fits_80_columns_and_says_the_same(script: Path) -> None:
    """Not a word is lost."""
    text = script.read_text()
    told = ast.get_docstring(ast.parse(text)) or ""
    shown = _help.parser_of(told, script.stem).format_help()
    assert max(map(len, shown.splitlines())) <= 80
    assert " ".join(told.split()) in " ".join(shown.split())
    assert "ArgumentParser" not in text


def test_help__table_in_a_docstring__stays_a_table() -> None:
    """Commands keep their lines; a long meaning goes on below its beginning."""
    told = """What it is.

    one          a meaning that is much longer than the others, so long that it has to be continued somewhere
                 else
    two --only   short
    three words without a meaning
    four"""
    assert _help.narrow(told) == (
        "What it is.\n\n"
        "    one          a meaning that is much longer than the others, so long that it\n"
        "                 has to be continued somewhere else\n"
        "    two --only   short\n"
        "    three words without a meaning\n"
        "    four"
    )
