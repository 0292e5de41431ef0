"""What the roles need from the outside world. Each port has one or more adapters and, for unit tests, a fake;
both pass the same test suite. Every method raises only errors of `dlbc.core.errors`.
"""

from dlbc.ports.chain import Chain, Payout
from dlbc.ports.channel import Channel
from dlbc.ports.clock import Clock
from dlbc.ports.data import Dataset, DataSource
from dlbc.ports.examining import Examinations, Examining
from dlbc.ports.exports import Exports, OnnxFile
from dlbc.ports.journal import Journal
from dlbc.ports.keys import Keys, RecoverSigner
from dlbc.ports.ledger_log import LedgerLog
from dlbc.ports.pool import Pool
from dlbc.ports.progress import Progress, silent
from dlbc.ports.scoring import ReadWeights, Scorer, WeightFile
from dlbc.ports.storage import Storage
from dlbc.ports.training import Trainer, TrainHandle, TrainJob, TrainProgress, TrainResult

__all__ = [
    "Chain",
    "Channel",
    "Clock",
    "DataSource",
    "Dataset",
    "Examinations",
    "Examining",
    "Exports",
    "Journal",
    "Keys",
    "LedgerLog",
    "OnnxFile",
    "Payout",
    "Pool",
    "Progress",
    "ReadWeights",
    "RecoverSigner",
    "Scorer",
    "Storage",
    "TrainHandle",
    "TrainJob",
    "TrainProgress",
    "TrainResult",
    "Trainer",
    "WeightFile",
    "silent",
]
