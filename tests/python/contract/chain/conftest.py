"""A fresh market for every test, on the session's Anvil."""

from __future__ import annotations

import pytest
from anvil_node import Anvil
from play import Play

pytest.register_assert_rewrite("pair")  # its asserts say what differs, as those of tests do


@pytest.fixture
def play(anvil: Anvil) -> Play:
    """Nothing has happened on this market yet."""
    return Play(anvil)
