"""A fresh market for every test, on the session's Anvil."""

from __future__ import annotations

import pytest
from anvil_node import Anvil
from play import Play


@pytest.fixture
def play(anvil: Anvil) -> Play:
    """Nothing has happened on this market yet."""
    return Play(anvil)
