"""The operators' guide says of every setting what it means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dlbc.config import SETTINGS

pytestmark = pytest.mark.unit

GUIDE = Path(__file__).parents[4] / "docs/operators.md"


def test_settings__of_the_client__are_the_table_of_the_guide() -> None:
    """None is left out, and none that does not exist is promised."""
    section = GUIDE.read_text().split("\n| setting |", 1)[1].split("\n\n", 1)[0]
    listed = [
        name for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(listed) == sorted(SETTINGS)
