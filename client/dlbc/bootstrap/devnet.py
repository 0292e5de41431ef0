"""The local network of a home folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dlbc.ports import Progress, silent

if TYPE_CHECKING:
    from dlbc.adapters.devnet.network import LocalNetwork, Network, Status


def devnet_up(
    home: Path, *, rpc_port: int = 0, ipfs_port: int = 0, fresh: bool = False, progress: Progress = silent
) -> Network:
    """Starts the local network of a home folder, or what is missing of it."""
    from dlbc.adapters.devnet import network

    return network.up(home, rpc_port=rpc_port, ipfs_port=ipfs_port, fresh=fresh, progress=progress)


def devnet_down(home: Path) -> list[str]:
    """Stops the local network of a home folder; the names of the processes that ran."""
    from dlbc.adapters.devnet import network

    return network.down(home)


def devnet_status(home: Path) -> Status:
    """What runs of the local network of a home folder."""
    from dlbc.adapters.devnet import network

    return network.status(home)


def local_network(home: Path, *, fresh: bool = False, progress: Progress = silent) -> LocalNetwork:
    """A context manager: a local network that goes with this process, for the demo and for tests."""
    from dlbc.adapters.devnet.network import LocalNetwork

    return LocalNetwork(home, fresh=fresh, progress=progress)
