"""Shared by every contract test: one real Anvil for the session, stopped by its process id."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from anvil_node import Anvil


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    """A node that mines every transaction at once; time moves when a test moves it. Deploy your own market on it."""
    with Anvil("--hardfork", "prague") as node:
        yield node
