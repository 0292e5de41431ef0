"""`dlbc wallet`: accounts as encrypted keystores in the home folder. No key is ever an argument."""

from __future__ import annotations

from pathlib import Path

import click

from dlbc.cli import render
from dlbc.cli.confirm import agree, yes_option
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
    payout, reserve = config.payout, config.payout_reserve
    if settings.json:
        render.print_json(
            {
                "address": address,
                "balanceWei": owned,
                "creditWei": credit,
                "poolCreditWei": pool_credit,
                "stakeWei": staked,
                "payout": payout,
                "payoutReserveWei": reserve if payout else None,
            }
        )
        return
    told = {
        "address": address,
        "balance": render.ether(owned),
        "credit in the market": f"{render.ether(credit)} (to withdraw)",
        "credit in the pool": f"{render.ether(pool_credit)} (to withdraw)",
        "stake": f"{render.ether(staked)} (dlbc auditor status)" if staked else "-",
    }
    if payout:
        told |= {"pays out to": str(payout), "reserve": f"{render.ether(reserve)} (what is above it is paid out)"}
    render.facts("", told)


@command.command()
@click.argument("name", required=False)
@click.option("--to", metavar="ADDRESS", help="Send it to this address instead.")
@click.pass_obj
def withdraw(settings: Settings, name: str | None, to: str | None) -> None:
    """Pull the account's credit out of the market and the auditor pool.

    With payout in dlbc.toml it goes to that address, as far as the account has its payout_reserve.
    """
    from dlbc import bootstrap
    from dlbc.config import checked_address
    from dlbc.roles.collecting import pull_credits

    config = settings.config(name)
    target = None if to is None else checked_address(to, "--to")
    keys = bootstrap.keys(config, ask_on_terminal())
    chain, pool = bootstrap.chain_and_pool(config, keys)
    if target is None:
        outcome = pull_credits(chain, pool, keys.address)
        receipts, withdrawn, told = list(outcome.receipts), int(outcome.wei), f"{outcome.sentence}."
    else:
        receipts, withdrawn = [], 0
        for owed, source in ((chain.credit(keys.address), chain), (pool.credit(keys.address), pool)):
            if owed:
                receipts.append(source.withdraw_to(target))
                withdrawn += owed
        told = f"withdrew {render.ether(withdrawn)} to {target}"
    if not receipts:
        raise Refused(f"{keys.address} has no credit in the market or its auditor pool; nothing was sent")
    if settings.json:
        where = target or config.payout or keys.address
        sent = [receipt.tx_hash for receipt in receipts]
        render.print_json({"address": keys.address, "to": where, "withdrawnWei": withdrawn, "tx": sent})
    else:
        click.echo(told)


@command.command()
@click.argument("name", required=False)
@yes_option
@click.pass_obj
def payout(settings: Settings, name: str | None, yes: bool) -> None:
    """Send the owner what the account has above its payout_reserve."""
    from dlbc import bootstrap
    from dlbc.roles.collecting import pay_owner
    from dlbc.roles.loop import unheard

    config = settings.config(name)
    if config.payout is None:
        raise Usage("no payout address is configured: set payout and payout_reserve in dlbc.toml")
    keys = bootstrap.keys(config, ask_on_terminal())
    chain = bootstrap.chain(config, keys)
    owner = chain.payout
    assert owner is not None, "the configuration has one"
    before = chain.balance(keys.address)
    surplus = before - owner.reserve_wei
    if surplus > 0:
        agree(settings, yes)(f"Send {render.ether(surplus)} to {owner.to}?")
    receipts = pay_owner(chain, keys.address, owner, unheard, most=surplus)
    if not receipts:
        raise Refused(
            f"{keys.address} has {render.ether(before)}, its reserve is {render.ether(config.payout_reserve)}: nothing "
            "worth a transaction is above it, so nothing was sent"
        )
    if settings.json:
        sent = [receipt.tx_hash for receipt in receipts]
        render.print_json({"address": keys.address, "to": config.payout, "paidWei": surplus, "tx": sent})
    else:
        click.echo(f"paid {render.ether(surplus)} to {config.payout}")


@command.command()
@click.argument("name")
@click.option("--forget", is_flag=True, help="Take it out of the keyring.")
@click.pass_obj
def keyring(settings: Settings, name: str, forget: bool) -> None:
    """Keep the password of NAME in the system's keyring, for `keyring = true` in dlbc.toml."""
    from dlbc import bootstrap

    config = settings.config(name)
    if forget:
        was_there = bootstrap.forget_password(config)
        told = f"the keyring has forgotten the password of {name}" if was_there else "it was not in the keyring"
    else:
        was_there = True
        kept = bootstrap.keep_password(config, ask_on_terminal())
        told = f"the keyring keeps the password of {name} ({kept}); set keyring = true in dlbc.toml to use it"
    if settings.json:
        render.print_json({"name": name, "kept": not forget, "changed": was_there})
    else:
        click.echo(told)


def _create(settings: Settings, name: str, key: bytes | None) -> None:
    from dlbc import bootstrap

    config = settings.config()
    file, address = bootstrap.create_account(config, name, key, ask_new_password())
    if settings.json:
        render.print_json({"name": name, "address": address, "file": file, "passwordFile": config.password_file})
        return
    password = f"the one in {config.password_file}" if config.password_file else "the one you typed"
    render.facts("", {"name": name, "address": address, "file": file, "password": password})
