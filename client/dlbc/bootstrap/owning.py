"""Settled models: fetching them, finding marks in them, claiming them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlbc import bootstrap
from dlbc.config import Config
from dlbc.ports import Progress, silent

if TYPE_CHECKING:
    from dlbc.adapters.keys import AskPassword
    from dlbc.roles.claiming import Owner
    from dlbc.roles.detecting import Detector
    from dlbc.roles.exporting import Exporter
    from dlbc.roles.loop import Report
    from dlbc.roles.models import Models
    from dlbc.roles.outcome import Agree


def models(config: Config, progress: Progress = silent) -> Models:
    """The settled models of the configured market, parsed in a process without network; needs no account."""
    from dlbc.roles.models import Models

    scorer = bootstrap.scorer(stays=False)
    return Models(bootstrap.chain(config), bootstrap.storage(config), scorer, progress=progress)


def exporter(config: Config, progress: Progress = silent) -> Exporter:
    """The same models in forms that other programs read."""
    from dlbc.adapters.ml.exports import FileExports
    from dlbc.roles.exporting import Exporter

    return Exporter(bootstrap.models(config, progress), FileExports())


def detector(config: Config, progress: Progress = silent) -> Detector:
    """Looks for registered marks in model files; needs no account."""
    from dlbc.adapters.weight_file import read_weights
    from dlbc.roles.copies import ORIGINAL_SECONDS, CopySearch
    from dlbc.roles.detecting import Detector
    from dlbc.roles.models import Models

    market = bootstrap.chain(config)
    models = Models(market, bootstrap.storage(config), bootstrap.scorer(), ORIGINAL_SECONDS)
    return Detector(CopySearch(market, models, progress), read_weights)


def owner(
    config: Config, report: Report, agree: Agree, ask: AskPassword | None = None, progress: Progress = silent
) -> Owner:
    """The configured account as the owner of a model. Needs no journal; a miner's is read if there is one."""
    from dlbc.adapters.weight_file import read_weights
    from dlbc.roles.claiming import Owner
    from dlbc.roles.copies import CopySearch
    from dlbc.roles.models import Models
    from dlbc.roles.recovery import Memory, Wallet

    account = bootstrap.keys(config, ask)
    market = bootstrap.chain(config, account, report)
    found = Models(market, bootstrap.storage(config), bootstrap.scorer())
    wallet = Wallet(
        market, account, Memory(bootstrap.journal_if_there(bootstrap.role_folder(config, "miner", account.address)))
    )
    return Owner(market, account, wallet, found, CopySearch(market, found, progress), read_weights, report, agree)
