"""The auditor and what it does with its stake: disputes, votes, refutations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlbc import bootstrap
from dlbc.config import Config
from dlbc.core.types import TaskId
from dlbc.ports import Progress, silent

if TYPE_CHECKING:
    from dlbc.adapters.examinations import ChildLimits
    from dlbc.adapters.keys import AskPassword
    from dlbc.roles.auditing import AuditorDaemon, Limits
    from dlbc.roles.auditor import Auditor
    from dlbc.roles.disputing import Disputer
    from dlbc.roles.examining import Examiner
    from dlbc.roles.ledger import LedgerVerifier
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


def ledger_verifier(config: Config, fetch_seconds: float | None, progress: Progress = silent) -> LedgerVerifier:
    """Of the whole ledger; needs no account. It remembers in the home folder what it has verified.

    fetch_seconds: for each file of a model; None: models are not looked at.
    """
    from dataclasses import replace

    from dlbc.adapters.signatures import recover_signer
    from dlbc.roles.ledger import LedgerVerifier
    from dlbc.roles.ledger_models import ModelLook

    log = bootstrap.ledger_log(config)
    auditor = None if fetch_seconds is None else replace(bootstrap.auditor(config), fetch_seconds=fetch_seconds)
    look = None if auditor is None else ModelLook(auditor)
    file = config.home / "auditor" / f"ledger-{log.chain_id}-{log.market}.json"
    return LedgerVerifier(log, recover_signer, look, file, progress)


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


def examiner(config: Config) -> Examiner:
    """Looks at what may have to be voted on; needs no account."""
    from dlbc.roles.examining import Examiner
    from dlbc.roles.refuting import Refuter

    market, pool = bootstrap.chain_and_pool(config)
    refuter = Refuter(market, pool, bootstrap.storage(config), bootstrap.trainer())
    return Examiner(bootstrap.auditor(config), refuter)


def auditor_daemon(
    config: Config,
    tasks: frozenset[TaskId] | None,
    limits: Limits,
    child_limits: ChildLimits,
    report: Report,
    ask: AskPassword | None = None,
) -> AuditorDaemon:
    """An auditor that nobody tends; it holds its journal open until `voter.journal.close()`."""
    from dlbc.adapters.examinations import ChildExaminations
    from dlbc.roles.auditing import AuditorDaemon
    from dlbc.roles.disputing import Disputer
    from dlbc.roles.examination_queue import ExaminationQueue
    from dlbc.roles.outcome import agreed
    from dlbc.roles.refuting import Refuter
    from dlbc.roles.stakes import Staker
    from dlbc.roles.voting import Voter

    account = bootstrap.keys(config, ask)
    market, pool = bootstrap.chain_and_pool(config, account, report)
    storage = bootstrap.storage(config)
    journal = bootstrap.journal(bootstrap.role_folder(config, "auditor", account.address))
    return AuditorDaemon(
        chain=market,
        pool=pool,
        queue=ExaminationQueue(journal, ChildExaminations(config, child_limits), report),
        voter=Voter(market, pool, account, journal, report),
        disputer=Disputer(market, pool, storage, bootstrap.auditor(config), report, agreed),
        refuter=Refuter(market, pool, storage, bootstrap.trainer(), report),
        staker=Staker(market, pool, report),
        report=report,
        limits=limits,
        tasks=tasks,
    )
