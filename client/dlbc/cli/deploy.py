"""`dlbc deploy`: a market, its ledger and its lens on the configured chain."""

from __future__ import annotations

from pathlib import Path

import click

from dlbc.cli import render
from dlbc.cli.options import Command, Settings
from dlbc.cli.password import ask_on_terminal


@click.command(cls=Command)
@click.option("--params", type=click.Path(path_type=Path), help="TOML file of parameters (else the chain's own).")
@click.option("--fee-receiver", metavar="ADDRESS", help="Who earns the fees, if the file does not say (else you).")
@click.option("--output", type=click.Path(path_type=Path), help="Write the addresses to this JSON file.")
@click.pass_obj
def command(settings: Settings, params: Path | None, fee_receiver: str | None, output: Path | None) -> None:
    """Deploy the contracts to the configured chain.

    Parameters are immutable once deployed: see deploy/params and docs/protocol.md, section 12.
    """
    from dlbc import bootstrap
    from dlbc.adapters.chain.deploy import (
        chain_id_of,
        deploy_contracts,
        deployment_to_json,
        load_params,
        write_deployment,
    )
    from dlbc.core.types import Address

    config = settings.config()
    chain_id = chain_id_of(config.rpc_url)
    keys = bootstrap.keys(config, ask_on_terminal())
    chosen = load_params(chain_id, Address(fee_receiver or keys.address), params)
    deployment = deploy_contracts(config.rpc_url, keys, chosen)
    if output is not None:
        write_deployment(deployment, output)
    if settings.json:
        render.print_json(deployment_to_json(deployment))
        return
    render.facts(
        f"Deployed on chain {chain_id}",
        {
            "market": deployment.market,
            "registry": deployment.registry,
            "lens": deployment.lens,
            "block": deployment.block_number,
            "fee receiver": chosen.fee_receiver,
            "gas used": deployment.gas_used,
        },
    )
    click.echo(
        "\nTo use it, put into dlbc.toml:\n"
        f'chain_id = {chain_id}\nmarket = "{deployment.market}"\nlens = "{deployment.lens}"\n'
        f"deployment_block = {deployment.block_number}"
    )
