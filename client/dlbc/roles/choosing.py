"""How a miner finds its next tasks: manifests of strangers read, checked against this machine, and planned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage
from typing import Any

from dlbc.core import watermark
from dlbc.core.architecture import (
    activations,
    architecture_to_json,
    flops_per_sample,
    parameters,
    tensor_shapes,
    training_activations,
)
from dlbc.core.devices import members
from dlbc.core.errors import BadInput, Garbled, NotFound, Refused, TryLater, VerificationFailed
from dlbc.core.events import TaskPosted
from dlbc.core.manifest import Manifest
from dlbc.core.schedule import ASSUMED_DOWNLOAD, Means, Offer, Plan, Speeds, average, learned_speed, plan, speed_of
from dlbc.core.types import ZERO_HASH, Hash32, RankedTask, TaskId, Timestamp
from dlbc.ports import Chain, Journal, Storage, Trainer
from dlbc.roles.artifacts import fetch_manifest
from dlbc.roles.entry_record import ENTRY, entry_key
from dlbc.roles.loop import Report
from dlbc.roles.models import Models

SPEED = "speed"
"""Kind of the journal's records of what this machine does a second, by "family/device" and "download"."""
_DOWNLOAD = "download"
LEAST_DOWNLOAD = 2**20
"""Bytes: smaller downloads say more about latency."""
TRAINING_PASSES = 3
LOOK_AT = 64
"""Tasks whose manifests are fetched in one look."""
LOOK_SECONDS = 20.0
"""What a tick spends on fetching manifests: whoever serves them sets the pace, and entries have deadlines."""
MANIFEST_SECONDS = 15.0
LIST_SHARE = 10
"""Listing a large market is repeated after so many times what it took."""
DISK_MODELS = 8
"""Checkpoints, drafts, the model and its recovered copy, in models."""
REST = 32
"""Looks in which a task is left alone at most whose manifest nobody served."""

_Seen = tuple[TaskId, Timestamp]
"""A posting: a reorganised chain gives the id to another one, at another time."""


@dataclass(frozen=True, slots=True)
class MinerOptions:
    """What the operator chose."""

    devices: tuple[str, ...] = ("auto",)  # one training at a time on each; a group ("cuda:0+cuda:1") counts as one
    epochs: int | None = None  # None: what the manifest says
    tasks: frozenset[TaskId] | None = None  # None: any
    strategy: str = "default"  # "search", or the operator's own "module:Class"
    parent: Hash32 = ZERO_HASH  # settled model to go on from, and to declare; ZERO_HASH: train from random weights
    once: bool = False
    memory_bytes: int | None = None  # of this machine; None: not known
    most_at_risk_wei: int | None = None  # deposits in the market at once; None: what the balance allows


@dataclass(frozen=True, slots=True)
class _Known:
    """A task that was looked at and could be done."""

    posted: TaskPosted
    manifest: Manifest


@dataclass(slots=True)
class Chooser:
    """Looks at the market's tasks and plans; what it fetched once it remembers."""

    chain: Chain
    storage: Storage
    trainer: Trainer
    journal: Journal
    folder: Path
    options: MinerOptions
    report: Report
    seconds: Callable[[], float]
    _keys: dict[_Seen, str] = field(default_factory=dict)
    _passed_over: set[_Seen] = field(default_factory=set)
    _known: dict[_Seen, _Known] = field(default_factory=dict)
    _rests: dict[_Seen, tuple[int, int]] = field(default_factory=dict)
    """(looks left, looks next time) of tasks whose manifest nobody served."""
    has_more: bool = False
    """Some tasks are still to be looked at."""
    rest_until: float = 0.0
    """On the stopwatch: a large market is not listed again before."""

    def look(self, means: Means, disk_promised: int = 0) -> tuple[Plan, dict[TaskId, TaskPosted]]:
        """The plan, and the postings of the tasks in it. disk_promised: bytes that begun tasks will still write."""
        found: list[Offer] = []
        postings: dict[TaskId, TaskPosted] = {}
        began, fresh, self.has_more = self.seconds(), 0, False
        only = self.options.tasks
        rows = [row for row in self.chain.ranked_tasks() if only is None or row.task_id in only]
        self.rest_until = self.seconds() + LIST_SHARE * (self.seconds() - began)
        self._forget_all_but({(row.task_id, row.posted_at) for row in rows})
        for ranked in rows:
            seen = ranked.task_id, ranked.posted_at
            if seen in self._passed_over or self._is_mine(seen):
                continue
            if seen not in self._known:
                if self._is_resting(seen):
                    self.has_more = True
                    continue
                fresh += 1
                if fresh > LOOK_AT or self.seconds() - began > LOOK_SECONDS:
                    self.has_more = True
                    continue
            known = self._look_at(ranked)
            if known is not None and self.has_disk(known.posted, disk_promised):
                found.append(self._offer(ranked, known))
                postings[ranked.task_id] = known.posted
        planned = plan(found, means)
        for passed in planned.passed:
            self.report("task_passed_over", task_id=passed.task_id, why=passed.why)
        return planned, postings

    def speeds(self) -> Speeds:
        """What trainings on this machine have shown."""
        found: dict[tuple[str, str], int] = {}
        for key, record in self.journal.all(SPEED):
            family, _, device = key.partition("/")
            if device and "seconds" in record:
                found[family, device] = learned_speed(device, int(record["amount"]), int(record["seconds"]))
        return found

    def download(self) -> int:
        """Bytes a second."""
        record = self.journal.get(SPEED, _DOWNLOAD)
        return ASSUMED_DOWNLOAD if record is None else max(1, int(record["amount"]) // int(record["seconds"]))

    def note_training(self, manifest: Manifest, device: str, epochs: int, seconds: int) -> None:
        """Remembers how fast a training was."""
        self._note(f"{manifest.architecture.family}/{device}", operations(manifest, epochs), seconds)

    def note_download(self, size: int, seconds: float) -> None:
        """Remembers how fast data came."""
        if size >= LEAST_DOWNLOAD:
            self._note(_DOWNLOAD, size, max(1, round(seconds)))

    def _note(self, key: str, amount: int, seconds: int) -> None:
        before = self.journal.get(SPEED, key) or {}
        sums = average((int(before.get("amount", 0)), int(before.get("seconds", 0))), amount, max(1, seconds))
        self.journal.put(SPEED, key, {"amount": sums[0], "seconds": sums[1]})

    # ------------------------------------------------------------------ one task

    def _look_at(self, ranked: RankedTask) -> _Known | None:
        """The task, or None with the reason reported once."""
        seen = ranked.task_id, ranked.posted_at
        try:
            known = self._known.get(seen)
            if known is None or len(known.posted.test_commitments) > 1:
                task = self.chain.task(ranked.task_id)
                self._keys[seen] = entry_key(task.terms_hash, task.round)
                if task.round > 0:
                    raise Refused(f"round {task.round} goes on from another model, which this client does not do yet")
            if self._is_mine(seen):
                return None
            if known is None:
                known = self._known[seen] = self._fetch(ranked.task_id)
        except (TryLater, Garbled) as error:
            _, pause = self._rests.get(seen, (0, 1))
            self._rests[seen] = pause, min(REST, 2 * pause)
            self.has_more = True
            self.report("try_later", task_id=ranked.task_id, reason=str(error))
            return None
        except (VerificationFailed, BadInput, NotFound, Refused) as error:
            self._passed_over.add(seen)
            self.report("task_passed_over", task_id=ranked.task_id, why=str(error))
            return None
        return known

    def _fetch(self, task_id: TaskId) -> _Known:
        posted = self.chain.task_posted(task_id)
        manifest = fetch_manifest(self.storage, posted, timeout=MANIFEST_SECONDS)
        _check_markable(manifest)
        self._check_parent(manifest)
        self._check_disk(manifest)
        self._check_scoring(manifest, posted)
        return _Known(posted, manifest)

    def _offer(self, ranked: RankedTask, known: _Known) -> Offer:
        manifest = known.manifest
        return Offer(
            ranked=ranked,
            deposit_wei=known.posted.terms.deposit_wei,
            family=manifest.architecture.family,
            operations=operations(manifest, self.options.epochs or manifest.training.epochs),
            traffic_bytes=manifest.data_bytes + 2 * manifest.model_bytes,
            memory_bytes=max(memory_needed(manifest, device) for device in self.options.devices),
        )

    def _check_parent(self, manifest: Manifest) -> None:
        """Raises Refused for a task whose models have another architecture than the parent."""
        if self.options.parent == ZERO_HASH:
            return
        parent = Models(self.chain, self.storage, self.trainer, MANIFEST_SECONDS).by_hash(self.options.parent)
        if parent.manifest.architecture != manifest.architecture:
            wanted, found = (architecture_to_json(each.architecture) for each in (manifest, parent.manifest))
            raise Refused(
                f"the parent, of task {parent.task_id}, has another architecture: expected {wanted}, found {found}"
            )

    def _check_disk(self, manifest: Manifest) -> None:
        """Raises Refused for a task that would fill this machine's disk, and take other entries with it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        needed, free = disk_needed(manifest), disk_usage(self.folder).free
        if needed > free // 2:
            raise Refused(f"data and models need about {needed} bytes, {self.folder} has {free} left")

    def has_disk(self, posted: TaskPosted, promised: int) -> bool:
        """Whether a task has room beside others that will still write so many bytes; told if it has not."""
        manifest = next(known.manifest for known in self._known.values() if known.posted is posted)
        if disk_needed(manifest) <= (disk_usage(self.folder).free - promised) // 2:
            return True
        why = "there is too little disk for its data and models beside what begun tasks will still need"
        self.report("task_passed_over", task_id=posted.task_id, why=why)
        return False

    def _check_scoring(self, manifest: Manifest, posted: TaskPosted) -> None:
        """Raises Refused for a test set that can't be claimed on in time: the terms count training only (P-80)."""
        family, speeds = manifest.architecture.family, self.speeds()
        fastest = max(speed_of(speeds, family, members(device)[0]) for device in self.options.devices)
        test, window = manifest.tests[0], posted.terms.reveal_seconds
        needed = test.size_bytes // self.download()
        needed += test.samples * flops_per_sample(manifest.architecture) // fastest
        if needed > window:
            raise Refused(
                f"fetching and scoring its test set takes about {needed} s here, the reveal window has {window} s"
            )

    def _is_mine(self, seen: _Seen) -> bool:
        """There is an entry for it, finished or not."""
        return seen in self._keys and self.journal.get(ENTRY, self._keys[seen]) is not None

    def _is_resting(self, seen: _Seen) -> bool:
        left, pause = self._rests.get(seen, (0, 1))
        if left > 0:
            self._rests[seen] = left - 1, pause
        return left > 0

    def _forget_all_but(self, seen: set[_Seen]) -> None:
        """Tasks that left Training are not kept in memory for ever."""
        self._passed_over &= seen
        kept: tuple[dict[_Seen, Any], ...] = (self._keys, self._known, self._rests)
        for memory in kept:
            for gone in memory.keys() - seen:
                del memory[gone]


def disk_needed(manifest: Manifest) -> int:
    """For the data of a task and the models of one entry."""
    return manifest.data_bytes + DISK_MODELS * manifest.model_bytes


def memory_needed(manifest: Manifest, device: str) -> int:
    """About what training and scoring take: ten copies of the weights, four of the data, one batch.

    Each rank of a group has weights and data of its own, and its part of a batch. A batch is kept in all layers for the
    gradients, and these are as large as the layer that they are in.
    """
    training, architecture = manifest.training, manifest.architecture
    sample = training_activations(architecture) + activations(architecture)
    batch = 4 * min(training.batch, manifest.samples) * sample
    tests = 2 * max(test.size_bytes for test in manifest.tests)
    return len(members(device)) * (40 * parameters(architecture) + 4 * manifest.data_bytes) + batch + tests


def operations(manifest: Manifest, epochs: int) -> int:
    """Of training."""
    return TRAINING_PASSES * flops_per_sample(manifest.architecture) * manifest.samples * epochs


def _check_markable(manifest: Manifest) -> None:
    carriers = watermark.carriers_per_slot(tensor_shapes(manifest.architecture))
    if carriers < watermark.MIN_CARRIERS:
        raise Refused(f"a watermark needs {watermark.MIN_CARRIERS} carriers a slot, this model has {carriers}")
