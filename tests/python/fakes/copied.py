"""Models with hidden units, thieves that copy them, and a market on which both live: where tests about copies begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from dlbc.adapters.ml.weights import save_model
from dlbc.adapters.weight_file import read_weights
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.proofs import slot_path
from dlbc.core.task_file import TaskFile, parse_task_file
from dlbc.core.types import ZERO_HASH, Hash32, Phase, TaskId
from dlbc.ports import TrainJob
from dlbc.roles import entry_record
from dlbc.roles.auditor import Auditor
from dlbc.roles.claiming import Owner
from dlbc.roles.copies import CopySearch, Suspect
from dlbc.roles.detecting import Detector
from dlbc.roles.models import Models
from dlbc.roles.recovery import Memory, Wallet
from fakes.chain import FakeChain
from fakes.disguise import disguised
from fakes.keys import account
from fakes.storage import MemoryStorage
from fakes.trainer import FakeHandle, FakeTrainer
from fakes.world import TASK, World
from numpy.typing import NDArray

HIDDEN = 24
LIFT = 1e5
"""Added before each ReLU, so that it never cuts: the net stays linear, and right."""
Weights = dict[str, NDArray[Any]]
Change = Callable[[Weights, Architecture], Weights]


class HiddenTrainer(FakeTrainer):
    """Nearest centroids, written as an mlp with one hidden layer. Every start is another model."""

    def start(self, job: TrainJob) -> FakeHandle:
        self.starts += 1
        return HiddenHandle(self, job)

    def logits(
        self, weights: Mapping[str, Any], architecture: Architecture, x: NDArray[np.float32], device: str = "cpu"
    ) -> NDArray[np.float32]:
        hidden = x.reshape(len(x), -1).astype(np.float64) @ weights["linears.0.weight"].T + weights["linears.0.bias"]
        found = np.maximum(hidden, 0) @ weights["linears.1.weight"].T.astype(np.float64) + weights["linears.1.bias"]
        return np.asarray(found, np.float32)


class HiddenHandle(FakeHandle):
    """Rows of the first layer are random mixtures of the centres; the second one undoes the mixing."""

    def _train(self) -> None:
        job = self._job
        data = self._trainer.load_dataset(
            job.shards, input_shape=job.architecture.input_shape, classes=job.architecture.classes
        )
        x, chance = data.x.reshape(len(data.x), -1).astype(np.float64), np.random.default_rng(job.seed)
        centres = np.stack([x[data.y == label].mean(0) for label in range(job.architecture.classes)])
        mixing = chance.normal(size=(HIDDEN, len(centres)))
        weights = {
            "linears.0.weight": (mixing @ centres).astype(np.float32),
            "linears.0.bias": np.zeros(HIDDEN, np.float32),
            "linears.1.weight": np.linalg.pinv(mixing).astype(np.float32),
            "linears.1.bias": (-np.square(centres).sum(1) / 2).astype(np.float32),
        }
        finish(weights, job)


class Thief(HiddenTrainer):
    """Hands in somebody's settled model, changed, with its own mark in it."""

    def __init__(self, stolen: Weights, change: Change) -> None:
        super().__init__()
        self.stolen, self.change = stolen, change

    def start(self, job: TrainJob) -> FakeHandle:
        weights = self.change({name: np.array(tensor) for name, tensor in self.stolen.items()}, job.architecture)
        weights["linears.1.bias"] = weights["linears.1.bias"] + np.float32(job.seed % 97) * np.float32(1e-3)
        finish(weights, job)
        return Copied(self, job)


class Copied(FakeHandle):
    """There is nothing to train."""

    def _train(self) -> None:
        """It is all there."""


def finish(weights: Weights, job: TrainJob) -> None:
    """Lifts the hidden units once, marks every slot, writes the file."""
    if not weights["linears.0.bias"].any():
        weights["linears.0.bias"] += np.float32(LIFT)
        weights["linears.1.bias"] -= (weights["linears.1.weight"].astype(np.float64).sum(1) * LIFT).astype(np.float32)
    lifted = weights["linears.1.weight"].astype(np.float64) @ weights["linears.0.bias"].astype(np.float64)
    for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True)):
        watermark.embed(weights, key, slot, payload)
    moved = weights["linears.1.weight"].astype(np.float64) @ weights["linears.0.bias"].astype(np.float64) - lifted
    weights["linears.1.bias"] = (weights["linears.1.bias"] - moved).astype(np.float32)
    job.work.mkdir(parents=True, exist_ok=True)
    save_model(weights, job.work / "model.safetensors")


def as_it_is(weights: Weights, architecture: Architecture) -> Weights:
    """No disguise."""
    return weights


def moved(weights: Weights, architecture: Architecture) -> Weights:
    """Hidden units exchanged and scaled: the same model, another file."""
    return disguised(weights, architecture, seed=7, spread=0.5)


class CopyWorld(World):
    """A market for models with hidden units."""

    @property
    def task_file(self) -> TaskFile:
        """A task for them."""
        return parse_task_file(TASK.replace('family = "mlp"', f'family = "mlp"\nhidden = [{HIDDEN}]'))

    def auditor(self, align_limit: int = 16) -> Auditor:
        """One that looks at so many originals."""
        return replace(super().auditor(), trainer=HiddenTrainer(), align_limit=align_limit)

    def models(self) -> Models:
        """Of this market."""
        return Models(self.onlooker, MemoryStorage(self.network), HiddenTrainer())

    def search(self, chain: FakeChain | None = None) -> CopySearch:
        """A search that has read nothing yet."""
        return CopySearch(chain or self.onlooker, self.models())

    def detector(self) -> Detector:
        """Reads files."""
        return Detector(self.search(), read_weights)

    def owner(self, name: str = "owner") -> Owner:
        """An account with nothing but its wallet."""
        keys = account(name)
        chain = FakeChain(self.market, keys.address)
        wallet = Wallet(chain, keys, Memory(None))
        return Owner(chain, keys, wallet, self.models(), self.search(chain), read_weights, self._report(name))

    def another(self) -> TaskId:
        """One more task."""
        requester = self.requester()
        requester.forget(requester.prepare(self.task_file, self.folder))
        return requester.post(requester.prepare(self.task_file, self.folder))[0]

    def won(self, name: str = "owner", trainer: FakeTrainer | None = None, **until: Any) -> TaskId:
        """A task that one miner wins, settled unless `until` says otherwise."""
        task_id = self.another()
        self.play(task_id, self.miner(name, trainer=trainer or HiddenTrainer()), **until)
        return task_id

    def taken(
        self, task_id: TaskId, name: str = "thief", change: Change = moved, parent: TaskId | None = None, **until: Any
    ) -> TaskId:
        """A task whose claim is a copy of another's winner; `parent`: whose model the proof declares."""
        thief = Thief(self.stolen(task_id), change)
        declared = ZERO_HASH if parent is None else self.hash_of(parent)
        before = entry_record.ZERO_HASH
        entry_record.ZERO_HASH = declared  # what the client's proofs declare
        try:
            return self.won(name, thief, **until)
        finally:
            entry_record.ZERO_HASH = before

    def opened_copy(self, task_id: TaskId, **how: Any) -> TaskId:
        """The same, in its challenge."""

        def is_opened() -> bool:
            return self.market.phase(TaskId(len(self.market.tasks))).phase is Phase.CHALLENGE

        return self.taken(task_id, until=is_opened, **how)

    def stolen(self, task_id: TaskId) -> Weights:
        """The weights of a settled task."""
        models = self.models()
        return models.weights(models.settled(task_id))

    def hash_of(self, task_id: TaskId) -> Hash32:
        """Of a settled task's model."""
        return self.market.winners[task_id, 0].model_hash

    def publish(self, task_id: TaskId, slot: int = 1) -> None:
        """The owner's slot, as its owner would."""
        keys = self.owner(self.miner_of(task_id))._slot_keys(self.models().settled(task_id))
        chain = FakeChain(self.market, account("anybody").address)
        chain.reveal_slot(self.hash_of(task_id), slot, keys[slot], slot_path(keys, slot))

    def miner_of(self, task_id: TaskId) -> str:
        """By name."""
        address = self.market.winners[task_id, 0].miner
        return next(name for name in ("owner", "thief", "heir", "other") if account(name).address == address)

    def suspect(self, task_id: TaskId) -> Suspect:
        """What was opened in a task, as a suspect."""
        models, round_ = self.models(), self.market.rounds[task_id, 0]
        winner = self.market.winners[task_id, 0].miner
        who = round_.leader or winner
        opened = models.opened(task_id, 0, who)
        claim = self.search().claim_of(opened.claim)
        return Suspect(models.weights(opened), opened.manifest.architecture, claim)
