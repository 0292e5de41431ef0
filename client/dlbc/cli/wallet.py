"""`dlbc wallet`: accounts as encrypted keystores in the home folder. No key is ever an argument."""

from __future__ import annotations

from pathlib import Path

import click

from dlbc.cli import render
from dlbc.cli.options import Group, Settings
from dlbc.cli.password import ask_new_password, ask_on_terminal
from dlbc.core.errors import Refused, Usage

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=Group)
def command() -> None:
    """Make, import and use accounts."""


@command.command()
@click.argument("name")
@click.pass_obj
def new(settings: Settings, name: str) -> None:
    """Make a new account and keep it, encrypted, under NAME."""
    _create(settings, name, None)


@command.command("import")
@click.argument("name")
@click.option("--file", type=_FILE, help="A file with the private key in hex, or another keystore.")
@click.pass_obj
def import_(settings: Settings, name: str, file: Path | None) -> None:
    """Keep an account you have, encrypted, under NAME. Without --file the private key is asked for."""
    from dlbc import bootstrap

    ask = ask_on_terminal()
    if file is not None:
        key = bootstrap.private_key_of(file, settings.config(), ask)
    elif ask is not None:
        key = bootstrap.private_key(ask("Private key (64 hex digits)"))
    else:
        raise Usage("a private key is read from a terminal or from --file FILE; neither is there")
    _create(settings, name, key)


@command.command("list")
@click.pass_obj
def list_(settings: Settings) -> None:
    """List the accounts of the home folder."""
    from dlbc import bootstrap

    config = settings.config()
    accounts = bootstrap.accounts(config)
    if settings.json:
        render.print_json({"accounts": [{"name": name, "address": address} for name, address in accounts]})
    elif accounts:
        render.table(f"Accounts in {config.home}", ("name", "address"), accounts)
    else:
        click.echo(f"no accounts in {config.home}; make one with `dlbc wallet new NAME`")


@command.command()
@click.argument("name", required=False)
@click.pass_obj
def balance(settings: Settings, name: str | None) -> None:
    """Show what an account owns, and what it can withdraw from the market and the auditor pool."""
    from dlbc import bootstrap

    config = settings.config(name)
    address = bootstrap.account_address(config)
    chain, pool = bootstrap.chain_and_pool(config)
    owned, credit, pool_credit = chain.balance(address), chain.credit(address), pool.credit(address)
    stake = pool.stake_of(address)
    staked = stake.active_wei + stake.pending_wei + stake.unbonding_wei
    if settings.json:
        render.print_json(
            {
                "address": address,
                "balanceWei": owned,
                "creditWei": credit,
                "poolCreditWei": pool_credit,
                "stakeWei": staked,
            }
        )
        return
    render.facts(
        "",
        {
            "address": address,
            "balance": render.ether(owned),
            "credit in the market": f"{render.ether(credit)} (to withdraw)",
            "credit in the pool": f"{render.ether(pool_credit)} (to withdraw)",
            "stake": f"{render.ether(staked)} (dlbc auditor status)" if staked else "-",
        },
    )


@command.command()
@click.argument("name", required=False)
@click.option("--to", metavar="ADDRESS", help="Send it to this address instead.")
@click.pass_obj
def withdraw(settings: Settings, name: str | None, to: str | None) -> None:
    """Pull the account's credit out of the market and the auditor pool."""
    from dlbc import bootstrap
    from dlbc.config import checked_address

    config = settings.config(name)
    target = None if to is None else checked_address(to, "--to")
    keys = bootstrap.keys(config, ask_on_terminal())
    chain, pool = bootstrap.chain_and_pool(config, keys)
    withdrawn, sent = 0, []
    for owed, source in ((chain.credit(keys.address), chain), (pool.credit(keys.address), pool)):
        if owed:
            receipt = source.withdraw(keys.address) if target is None else source.withdraw_to(target)
            sent.append(receipt.tx_hash)
            withdrawn += owed
    if not sent:
        raise Refused(f"{keys.address} has no credit in the market or its auditor pool; nothing was sent")
    if settings.json:
        told = {"address": keys.address, "to": target or keys.address, "withdrawnWei": withdrawn, "tx": sent}
        render.print_json(told)
    else:
        click.echo(f"withdrew {render.ether(withdrawn)} to {target or keys.address}")


def _create(settings: Settings, name: str, key: bytes | None) -> None:
    from dlbc import bootstrap

    config = settings.config()
    file, address = bootstrap.create_account(config, name, key, ask_new_password())
    if settings.json:
        render.print_json({"name": name, "address": address, "file": file, "passwordFile": config.password_file})
        return
    password = f"the one in {config.password_file}" if config.password_file else "the one you typed"
    render.facts("", {"name": name, "address": address, "file": file, "password": password})
