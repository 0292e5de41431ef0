"""The composition root: configuration becomes adapters, adapters become roles. Nothing else knows them all.

The modules look parts up here, as `bootstrap.chain`: whoever replaces a part replaces it for all that is made of it.
What costs time to import (web3, torch) is imported by the function that needs it.
"""

from dlbc.bootstrap.auditing import (
    auditor,
    auditor_daemon,
    disputer,
    examiner,
    ledger_verifier,
    refuter,
    reporter,
    staker,
    voter,
)
from dlbc.bootstrap.devnet import devnet_down, devnet_status, devnet_up, local_network
from dlbc.bootstrap.journals import is_at_work, journal, journal_if_there, reading_journal, role_folder
from dlbc.bootstrap.keeping import keeper, market_keeper
from dlbc.bootstrap.learning import FileData, check_strategy, scorer, trainer
from dlbc.bootstrap.mining import miner, miner_disk, quota
from dlbc.bootstrap.network import LOCAL_CHAIN_ID, WAITING_PAUSE, chain, chain_and_pool, ledger_log, pause, storage
from dlbc.bootstrap.owning import detector, exporter, models, owner
from dlbc.bootstrap.process import checkup, clock, devices, event_log, load_config, memory_bytes, watch
from dlbc.bootstrap.requesting import channels, models_folder, requester, requester_daemon, requester_folder
from dlbc.bootstrap.wallet import (
    account_address,
    accounts,
    create_account,
    forget_password,
    keep_password,
    keys,
    private_key,
    private_key_of,
)

__all__ = [
    "LOCAL_CHAIN_ID",
    "WAITING_PAUSE",
    "FileData",
    "account_address",
    "accounts",
    "auditor",
    "auditor_daemon",
    "chain",
    "chain_and_pool",
    "channels",
    "check_strategy",
    "checkup",
    "clock",
    "create_account",
    "detector",
    "devices",
    "devnet_down",
    "devnet_status",
    "devnet_up",
    "disputer",
    "event_log",
    "examiner",
    "exporter",
    "forget_password",
    "is_at_work",
    "journal",
    "journal_if_there",
    "keep_password",
    "keeper",
    "keys",
    "ledger_log",
    "ledger_verifier",
    "load_config",
    "local_network",
    "market_keeper",
    "memory_bytes",
    "miner",
    "miner_disk",
    "models",
    "models_folder",
    "owner",
    "pause",
    "private_key",
    "private_key_of",
    "quota",
    "reading_journal",
    "refuter",
    "reporter",
    "requester",
    "requester_daemon",
    "requester_folder",
    "role_folder",
    "scorer",
    "staker",
    "storage",
    "trainer",
    "voter",
    "watch",
]
