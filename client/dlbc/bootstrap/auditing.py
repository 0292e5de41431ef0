"""The auditor and what it does with its stake: disputes, votes, refutations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlbc import bootstrap
from dlbc.config import Config
from dlbc.ports import Progress, silent

if TYPE_CHECKING:
    from dlbc.adapters.keys import AskPassword
    from dlbc.roles.auditor import Auditor
    from dlbc.roles.disputing import Disputer
    from dlbc.roles.loop import Report
    from dlbc.roles.outcome import Agree
    from dlbc.roles.refuting import Refuter
    from dlbc.roles.reporting import Reporter
    from dlbc.roles.stakes import Staker
    from dlbc.roles.voting import Voter


def auditor(config: Config, progress: Progress = silent, align_limit: int | None = None) -> Auditor:
    """An auditor: needs no account, no lens, no journal."""
    from dlbc.adapters.signatures import recover_signer
    from dlbc.roles.auditor import Auditor
    from dlbc.roles.copies import ALIGN_LIMIT

    limit = ALIGN_LIMIT if align_limit is None else align_limit
    return Auditor(
        bootstrap.chain(config),
        bootstrap.storage(config),
        bootstrap.trainer(),
        recover_signer,
        progress=progress,
        align_limit=limit,
    )


def reporter(config: Config, progress: Progress = silent, align_limit: int | None = None) -> Reporter:
    """An auditor that writes its report down."""
    from dlbc import __version__
    from dlbc.adapters.report import render
    from dlbc.roles.reporting import Reporter

    return Reporter(bootstrap.auditor(config, progress, align_limit), render, f"dlbc {__version__}")


def staker(config: Config, report: Report, agree: Agree, ask: AskPassword | None = None) -> Staker:
    """The stake of the configured account; needs no journal."""
    from dlbc.roles.stakes import Staker

    market, pool = bootstrap.chain_and_pool(config, bootstrap.keys(config, ask), report)
    return Staker(market, pool, report, agree)


def disputer(
    config: Config, report: Report, agree: Agree, ask: AskPassword | None = None, progress: Progress = silent
) -> Disputer:
    """Files disputes and impeachments as the configured account; needs no journal."""
    from dlbc.roles.disputing import Disputer

    market, pool = bootstrap.chain_and_pool(config, bootstrap.keys(config, ask), report)
    return Disputer(market, pool, bootstrap.storage(config), bootstrap.auditor(config, progress), report, agree)


def voter(config: Config, report: Report, agree: Agree, ask: AskPassword | None = None) -> Voter:
    """The ballots of the configured account; it holds its journal open until `journal.close()`."""
    from dlbc.roles.voting import Voter

    account = bootstrap.keys(config, ask)
    market, pool = bootstrap.chain_and_pool(config, account, report)
    return Voter(
        market,
        pool,
        account,
        bootstrap.journal(bootstrap.role_folder(config, "auditor", account.address)),
        report,
        agree,
    )


def refuter(
    config: Config, report: Report, agree: Agree, ask: AskPassword | None = None, progress: Progress = silent
) -> Refuter:
    """Refutes claims and demands predictions as the configured account; needs no journal."""
    from dlbc.roles.refuting import Refuter

    market, pool = bootstrap.chain_and_pool(config, bootstrap.keys(config, ask), report)
    return Refuter(market, pool, bootstrap.storage(config), bootstrap.trainer(), report, agree, progress)
