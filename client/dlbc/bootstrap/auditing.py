"""The auditor and what it does with its stake: disputes, votes, refutations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlbc import bootstrap
from dlbc.config import Config
from dlbc.core.types import TaskId
from dlbc.ports import Progress, Scorer, Storage, silent

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


FETCH_SHARE = 0.5
"""Of an examination's time, for fetching; the rest is for scoring and the search for copies."""
SCORING_SHARE = 0.9
"""Of it, after which nothing is scored and no more originals are compared."""


def auditor(
    config: Config,
    progress: Progress = silent,
    align_limit: int | None = None,
    *,
    storage: Storage | None = None,
    scorer: Scorer | None = None,
    seconds: float | None = None,
) -> Auditor:
    """An auditor: needs no account, no lens, no journal. seconds: until it leaves out what it may leave out."""
    import time

    from dlbc.adapters.signatures import recover_signer
    from dlbc.roles.auditor import Auditor
    from dlbc.roles.copies import ALIGN_LIMIT

    limit = ALIGN_LIMIT if align_limit is None else align_limit
    ends_at = None if seconds is None else time.monotonic() + seconds
    return Auditor(
        bootstrap.chain(config),
        storage or bootstrap.storage(config),
        scorer or bootstrap.scorer(),
        recover_signer,
        progress=progress,
        align_limit=limit,
        is_late=lambda: ends_at is not None and time.monotonic() > ends_at,
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

    auditor = bootstrap.auditor(config, progress, align_limit, scorer=bootstrap.scorer(begins_now=True))
    return Reporter(auditor, render, f"dlbc {__version__}")


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
    return Refuter(market, pool, bootstrap.storage(config), bootstrap.scorer(stays=False), report, agree, progress)


def examiner(config: Config, memory_bytes: int | None = None, seconds: float | None = None) -> Examiner:
    """Looks at what may have to be voted on; needs no account. seconds: after which it is to have ended by itself."""
    from dlbc.adapters.storage.patient import PatientStorage
    from dlbc.roles.examining import Examiner
    from dlbc.roles.refuting import Refuter

    most = None if seconds is None else SCORING_SHARE * seconds
    scorer = bootstrap.scorer(memory_bytes=memory_bytes, seconds=most, begins_now=True)
    storage = bootstrap.storage(config) if seconds is None else PatientStorage(config.ipfs_api, FETCH_SHARE * seconds)
    market, pool = bootstrap.chain_and_pool(config)
    auditor = bootstrap.auditor(config, storage=storage, scorer=scorer, seconds=most)
    return Examiner(auditor, Refuter(market, pool, storage, scorer, is_late=auditor.is_late))


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
        refuter=Refuter(market, pool, storage, bootstrap.scorer(stays=False, is_tried=True), report),
        staker=Staker(market, pool, report),
        report=report,
        limits=limits,
        tasks=tasks,
    )
