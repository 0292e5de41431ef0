"""Keepers: those who advance tasks, for one task or for the whole market."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlbc import bootstrap
from dlbc.config import Config
from dlbc.core.types import TaskId

if TYPE_CHECKING:
    from dlbc.adapters.keys import AskPassword
    from dlbc.roles.keeper import Keeper
    from dlbc.roles.keeping import MarketKeeper
    from dlbc.roles.loop import Report


def keeper(config: Config, report: Report, ask: AskPassword | None = None) -> Keeper:
    """A keeper that advances tasks if an account is configured, and only looks if none is."""
    from dlbc.roles.keeper import Keeper

    has_account = config.account is not None or config.signer_url is not None
    return Keeper(bootstrap.chain(config, bootstrap.keys(config, ask) if has_account else None, report), report)


def market_keeper(
    config: Config, tasks: frozenset[TaskId] | None, report: Report, ask: AskPassword | None = None
) -> MarketKeeper:
    """A keeper for all tasks of the market, or the chosen ones, that also sends what is left in the relay folder."""
    from dlbc.roles.keeping import MarketKeeper
    from dlbc.roles.relaying import Relay, relay_folder

    market = bootstrap.chain(config, bootstrap.keys(config, ask), report)
    relay = None
    if config.relay_folder is not None:
        relay = Relay(market, relay_folder(config.relay_folder), report)
    return MarketKeeper(market, report, tasks, relay)
