"""One network and one ward for each module of the chaos suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from dlbc.adapters.devnet.network import LocalNetwork
from report import Account
from ward import Ward


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """A network of the module's own: one clock moves for all that live on it."""
    folder = tmp_path_factory.mktemp("ward")
    with LocalNetwork(folder / "home", fresh=True) as network:
        yield Ward(network, folder)


@pytest.fixture
def account(record_property: Callable[[str, object], None]) -> Account:
    """Where a test tells its faults."""
    return Account(record_property)
