"""The chain and the IPFS node. Nothing is contacted before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlbc.config import Config
from dlbc.ports import Chain, Keys, LedgerLog, Payout, Pool, Storage

if TYPE_CHECKING:
    from dlbc.adapters.chain.web3_chain import Web3Chain
    from dlbc.roles.loop import Report

LOCAL_CHAIN_ID = 31337
WAITING_PAUSE = 1.0
"""Seconds between two looks while nothing is to be done: one request each."""


def storage(config: Config) -> Storage:
    """The IPFS node of the configuration; it is not contacted yet."""
    from dlbc.adapters.storage.ipfs import IpfsStorage

    return IpfsStorage(config.ipfs_api)


def chain(config: Config, account: Keys | None = None, report: Report | None = None) -> Chain:
    """The market of the configuration, as `account` sees it (None: read only). Raises Usage without a market."""
    return _web3_chain(config, account, report)


def chain_and_pool(config: Config, account: Keys | None = None, report: Report | None = None) -> tuple[Chain, Pool]:
    """The market and its auditor pool, over one connection and with one queue of transactions."""
    from dlbc.adapters.chain.web3_pool import Web3Pool

    found = _web3_chain(config, account, report)
    return found, Web3Pool(found)


def ledger_log(config: Config) -> LedgerLog:
    """The log of the configured market's ledger; needs no account and no lens."""
    from dlbc.adapters.chain.web3_ledger import Web3Ledger

    return Web3Ledger(_web3_chain(config, None, None))


def _web3_chain(config: Config, account: Keys | None, report: Report | None) -> Web3Chain:
    from dlbc.adapters.chain.transactions import Sending, unheard
    from dlbc.adapters.chain.web3_chain import Web3Chain

    return Web3Chain(
        config.rpc_url,
        config.require_market(),
        config.lens,
        account,
        deployment_block=config.deployment_block,
        expected_chain_id=config.chain_id,
        sending=Sending(config.max_fee, report or unheard, config.home / "sent"),
        payout=None if config.payout is None else Payout(config.payout, config.payout_reserve),
    )


def pause(chain: Chain) -> float:
    """Seconds between two looks at the chain: short on a local network, where blocks are fast."""
    return 0.5 if chain.chain_id == LOCAL_CHAIN_ID else 2.0
