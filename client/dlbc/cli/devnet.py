"""`dlbc devnet`: a chain, an IPFS node and the contracts on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dlbc.cli import render
from dlbc.cli.options import Group, Settings, typed_duration

if TYPE_CHECKING:
    from dlbc.adapters.devnet.network import Status

_PORT = click.IntRange(1, 65535)


@click.group(cls=Group)
def command() -> None:
    """Run a local network: chain, IPFS node, contracts.

    Everything listens on 127.0.0.1 only and is kept in the home folder, where the other commands find it.
    """


@command.command()
@click.option("--fresh", is_flag=True, help="Throw the old chain and IPFS node away first.")
@click.option("--rpc-port", type=_PORT, help="Port of the chain (else the last one, else any).")
@click.option("--ipfs-port", type=_PORT, help="Port of the IPFS API (else the last one, else any).")
@click.pass_obj
def up(settings: Settings, fresh: bool, rpc_port: int | None, ipfs_port: int | None) -> None:
    """Start what does not run, deploy what is not deployed, write dlbc.toml and the accounts."""
    from dlbc import bootstrap

    home = settings.config().home
    with render.ProgressLines() as progress:
        bootstrap.devnet_up(home, rpc_port=rpc_port or 0, ipfs_port=ipfs_port or 0, fresh=fresh, progress=progress)
    _show(settings, bootstrap.devnet_status(home))
    if not settings.json:
        click.echo(
            "accounts: requester, miner1 to miner3, auditor1 to auditor3, disputer\n"
            "          (dlbc wallet list; act as one with --account NAME)"
        )
        click.echo("next: dlbc task init mytask.toml --dataset digits")


@command.command()
@click.pass_obj
def down(settings: Settings) -> None:
    """Stop the processes; chain and files stay for the next `up`."""
    from dlbc import bootstrap

    stopped = bootstrap.devnet_down(settings.config().home)
    if settings.json:
        render.print_json({"stopped": stopped})
    else:
        click.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@command.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Say what runs where."""
    from dlbc import bootstrap

    _show(settings, bootstrap.devnet_status(settings.config().home))


@command.command()
@click.argument("duration")
@click.pass_obj
def skip(settings: Settings, duration: str) -> None:
    """Move the local chain's clock forward by DURATION (say 6h), to the end of a window without waiting for it.

    There is no way back, and every task on the chain gets older. Other chains can't be moved.
    """
    from dlbc import bootstrap
    from dlbc.core.errors import Usage

    seconds = typed_duration(duration)
    found = bootstrap.devnet_status(settings.config().home)
    if not found.chain_is_running or found.block is None:
        raise Usage(f"there is no local chain running in {found.network.home}; start one with `dlbc devnet up`")
    now = found.network.advance_time(seconds=seconds)
    if settings.json:
        render.print_json({"blockTime": now})
    else:
        click.echo(f"the local chain's clock is at {render.moment(now)}")


def _show(settings: Settings, found: Status) -> None:
    network = found.network
    processes: list[dict[str, Any]] = [
        {"name": process.name, "pid": process.pid, "port": process.port, "running": running}
        for process, running in ((network.chain, found.chain_is_running), (network.ipfs, found.ipfs_is_running))
        if process is not None
    ]
    if settings.json:
        told = {
            "up": found.is_up,
            "home": network.home,
            "processes": processes,
            "rpcUrl": network.rpc_url if network.chain else None,
            "ipfsApi": network.ipfs_api if network.ipfs else None,
            "market": network.market,
            "registry": network.registry,
            "lens": network.lens,
            "deploymentBlock": network.deployment_block,
            "block": found.block,
            "blockTime": found.block_time,
            "ipfsVersion": found.ipfs_version,
            "peers": found.peers,
        }
        render.print_json(told)
        return
    if not processes:
        click.echo(f"there is no local network in {network.home}; start one with `dlbc devnet up`")
        return
    rows = [(row["name"], row["pid"], row["port"], "running" if row["running"] else "stopped") for row in processes]
    render.table("Local network", ("process", "id", "port", "state"), rows, right=("id", "port"))
    block = "-" if found.block is None else f"{found.block} at {render.moment(found.block_time or 0)}"
    facts = {
        "home": network.home,
        "rpc url": network.rpc_url,
        "ipfs api": network.ipfs_api,
        "market": network.market or "-",
        "registry": network.registry or "-",
        "lens": network.lens or "-",
        "block": block,
        "ipfs": "-" if found.ipfs_version is None else f"Kubo {found.ipfs_version}, {found.peers} peers",
        "settings": network.config_file,
    }
    render.facts("", facts)
