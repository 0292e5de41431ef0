"""A market in memory on which a stranger publishes what it likes, with hashes that fit; and those who look at it.

The looks are the real ones: the miner's tick, the auditor's examination with the scoring process that it has, and the
functions that a command calls. Only chain and storage are in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
from dlbc.adapters.ml.shards import encode_dataset
from dlbc.adapters.scoring import ConfinedScorer, ScoringLimits
from dlbc.adapters.signatures import recover_signer
from dlbc.core import proofs, seal, watermark
from dlbc.core.architecture import Architecture, stored_values
from dlbc.core.cid import locator_of
from dlbc.core.examination import Examination, examination_from_json, examination_to_json
from dlbc.core.hashing import keccak, sha256
from dlbc.core.manifest import (
    MODEL_HEADER_BYTES,
    Manifest,
    SealedTest,
    Shard,
    Training,
    manifest_to_bytes,
    workload_of,
)
from dlbc.core.scoring import PredictionTree, encode_predictions, top1_scores
from dlbc.core.types import ZERO_HASH, Address, Claim, Locator, TaskId, Terms, TestSet, TrainingProof, Wei
from dlbc.ports import Dataset, Scorer
from dlbc.roles.auditor import Auditor
from dlbc.roles.evidence import ground_names
from dlbc.roles.examining import Examiner
from dlbc.roles.preparing import described
from dlbc.roles.refuting import Refuter
from fakes.chain import CHAIN_ID, MARKET, FakeChain
from fakes.keys import account
from fakes.pool import FakePool
from fakes.storage import MemoryStorage
from fakes.trainer import CLASSES, FEATURES, FakeData
from fakes.world import World
from safetensors.numpy import save

ARCHITECTURE = Architecture("mlp", (FEATURES,), CLASSES, ())
TEST_KEY, SEAL_KEY, SALT = keccak(b"test key"), keccak(b"seal key"), keccak(b"salt")
SLOT_KEYS = [keccak(b"slot 0"), keccak(b"slot 1")]
_miner, _requester = cache(lambda: account("miner")), cache(lambda: account("requester"))


def miner_address() -> Address:
    """Whose marks are in an honest model."""
    return _miner().address


def model_limit(architecture: Architecture) -> int:
    """The most that a manifest may allow: then hostile headers are read."""
    return 4 * stored_values(architecture) + MODEL_HEADER_BYTES


@cache
def samples() -> tuple[Dataset, Dataset]:
    """(training, test) of an honest requester."""
    return FakeData().load("", Path(), 0)


@cache
def honest_weights() -> dict[str, np.ndarray]:
    """A linear model that is right nearly always, with the marks of the first task's miner."""
    training, _ = samples()
    centres = np.stack([training.x[training.y == label].mean(0) for label in range(CLASSES)])
    weights = {
        "linears.0.weight": centres.astype(np.float32),
        "linears.0.bias": (-np.square(centres).sum(1) / 2).astype(np.float32),
    }
    for slot, key in enumerate(SLOT_KEYS):
        watermark.embed(weights, key, slot, watermark.payload(CHAIN_ID, MARKET, TaskId(1), 0, _miner().address, slot))
    return weights


@cache
def honest_model() -> bytes:
    """Its file."""
    return bytes(save(honest_weights()))


@cache
def honest_test() -> bytes:
    """The file of the test samples."""
    return encode_dataset(samples()[1])


@dataclass(slots=True)
class Sealed:
    """Sealed bytes as somebody stores them; `damage` may change parts and list before they are stored."""

    plain: bytes
    key: bytes
    damage_parts: Callable[[list[bytes]], list[bytes]] = lambda parts: parts
    damage_list: Callable[[bytes], bytes] = lambda listed: listed
    plain_bytes: int | None = None
    """What the list says; None: the truth."""
    loses: tuple[str, ...] = ()
    """What nobody serves: "list", "parts"."""

    def store(self, storage: MemoryStorage) -> Locator:
        """The locator that goes on chain."""
        parts = self.damage_parts(list(seal.seal([self.plain], self.key)))
        sealed = tuple(seal.SealedPart(storage.add(part), sha256(part), len(part)) for part in parts)
        size = len(self.plain) if self.plain_bytes is None else self.plain_bytes
        listed = self.damage_list(seal.part_list_to_bytes(seal.PartList(size, seal.sealed_size(size), sealed)))
        locator = storage.add(listed)
        for part in sealed if "parts" in self.loses else ():
            storage.network.pop(part.locator, None)
        if "list" in self.loses:
            storage.lose(locator)
        return locator


@dataclass(slots=True)
class Task:
    """What a requester posts: honest, but for what a case changes."""

    architecture: Architecture = ARCHITECTURE
    training: Dataset | None = None
    test_plain: bytes | None = None
    labels: Sequence[int] | None = None
    """Of the committed root; None: the honest ones."""
    manifest: Callable[[bytes], bytes] = lambda honest: honest
    """Changes the manifest's bytes; the terms commit to what comes out."""
    terms: Callable[[Terms], Terms] = lambda honest: honest
    sealed: Callable[[Sealed], Sealed] = lambda honest: honest
    test_set: Callable[[TestSet], TestSet] = lambda honest: honest
    """Changes what is committed and released."""
    serves_manifest: bool = True


@dataclass(slots=True)
class Entry:
    """What a miner commits to: honest, but for what a case changes."""

    model: bytes | None = None
    sealed: Callable[[Sealed], Sealed] = lambda honest: honest
    model_hash: bytes | None = None
    predictions: Sequence[int] | None = None
    """Published classes; None: the labels, which always lead."""
    scores: Sequence[int] | None = None
    predictions_file: Callable[[bytes], bytes] = lambda honest: honest
    serves_predictions: bool = True
    parent: bytes = ZERO_HASH


class Play:
    """One task of one stranger; `beside`: on the market of another play. `who` commits in it."""

    def __init__(self, folder: Path, task: Task, beside: Play | None = None, who: str = "miner") -> None:
        self.world = World(folder) if beside is None else beside.world
        self.storage = MemoryStorage(self.world.network)
        self.task, self.keys = task, _miner() if who == "miner" else account(who)
        self.test_set: TestSet
        self.task_id = self._post()

    def _post(self) -> TaskId:
        task, storage = self.task, self.storage
        training, test = samples()
        packed = encode_dataset(task.training or training)
        count_ = len((task.training or training).y)
        shard = Shard(storage.add(packed), sha256(packed), len(packed), count_)
        plain = honest_test() if task.test_plain is None else task.test_plain
        sealed = task.sealed(Sealed(plain, TEST_KEY)).store(storage)
        labels = test.y if task.labels is None else np.asarray(task.labels)
        manifest = Manifest(
            name="clusters",
            architecture=task.architecture,
            training=Training(5, 32, 1_000),
            shards=(shard,),
            tests=(SealedTest(sealed, max(len(plain), _least_bytes(task, len(labels))), len(labels)),),
            model_bytes=model_limit(task.architecture),
        )
        data = task.manifest(_manifest_bytes(manifest))
        terms = task.terms(
            Terms(
                manifest_hash=sha256(data),
                manifest=storage.add(data) if task.serves_manifest else locator_of(data),
                workload=workload_of(manifest),
                train_seconds=3_600,
                release_seconds=3_600,
                reveal_seconds=3_600,
                open_seconds=3_600,
                challenge_seconds=3_600,
                min_score_ppm=500_000,
                min_gain_ppm=0,
                tolerance_ppm=2_000,
                bounty_wei=Wei(10**18),
                deposit_wei=Wei(10**17),
                bond_wei=Wei(10**17),
                royalty_bps=500,
            )
        )
        self.test_set = task.test_set(described(sealed, plain, TEST_KEY, labels, task.architecture.classes))
        chain = FakeChain(self.world.market, _requester().address)
        task_id = chain.post(terms, [proofs.test_commitment(self.test_set)]).task_id
        assert task_id is not None
        return task_id

    # ------------------------------------------------------------------ the requester's attacks

    def looked_at_by_a_miner(self) -> str:
        """What a miner makes of the task: chosen, skipped, or looked at again later."""
        miner = self.world.miner("onlooker", memory_bytes=16 * 2**30)
        miner.tick()
        for verdict, event in (("skipped", "task_passed_over"), ("waits", "try_later"), ("chosen", "task_chosen")):
            for told in self.world.heard(event):
                return f"{verdict} | {told.get('why') or told.get('reason') or ''}"
        return f"nothing | {self.world.events}"

    def release(self, *, moves: bool = True) -> None:
        """The test set is out; moves: after the time has come."""
        if moves:
            self.world.market.move_to_end_of_phase(self.task_id)
        FakeChain(self.world.market, _requester().address).release(self.task_id, self.test_set, TEST_KEY)

    def examine_test_set(self, scorer: Scorer) -> str:
        """What an auditor's ballot would say of the released test set."""
        self.commit(Entry())  # without a commit there is no round to release
        self.release()
        return said(self.examiner(scorer).examine(self.task_id, test_set=True))

    # ------------------------------------------------------------------ the miner's attacks

    def examine(self, entry: Entry, scorer: Scorer) -> str:
        """What an auditor's ballot would say of a claim that leads and was opened."""
        self.open(entry)
        return self.said_of_its_claim(scorer)

    def said_of_its_claim(self, scorer: Scorer) -> str:
        """What an auditor's ballot would say of the leader that has opened."""
        return said(self.examiner(scorer).examine(self.task_id))

    def open(self, entry: Entry) -> None:
        """A claim that leads and is opened, with nobody beside it."""
        proof = self.commit(entry)
        self.release()
        claim = self.reveal(entry, proof)
        self.world.market.move_to_end_of_phase(self.task_id)
        self.open_claim(proof, claim)

    def examiner(self, scorer: Scorer) -> Examiner:
        """As `dlbc auditor examine` makes it."""
        world, storage = self.world, MemoryStorage(self.world.network)
        refuter = Refuter(world.onlooker, FakePool(world.pool_state, None), storage, scorer)
        return Examiner(Auditor(world.onlooker, storage, scorer, recover_signer), refuter)

    def commit(self, entry: Entry) -> TrainingProof:
        """What is committed to."""
        model = honest_model() if entry.model is None else entry.model
        sealed = entry.sealed(Sealed(model, SEAL_KEY)).store(self.storage)
        proof = TrainingProof(
            task_id=self.task_id,
            round=0,
            miner=self.keys.address,
            model_hash=entry.model_hash or sha256(model),
            sealed_model=sealed,
            seal_key_hash=proofs.key_hash(SEAL_KEY),
            watermark_root=proofs.slot_root(SLOT_KEYS),
            parent_model=entry.parent,
        )
        chain = FakeChain(self.world.market, self.keys.address)
        commitment = proofs.commitment(proofs.proof_digest(proof, CHAIN_ID, MARKET), SALT)
        deposit = chain.task(self.task_id).deposit_wei
        chain.commit(self.task_id, 0, chain.task(self.task_id).terms_hash, commitment, Locator(ZERO_HASH), deposit)
        return proof

    def reveal(self, entry: Entry, proof: TrainingProof) -> Claim:
        """What is claimed."""
        labels = samples()[1].y if self.task.labels is None else np.asarray(self.task.labels)
        predictions = labels if entry.predictions is None else np.asarray(entry.predictions)
        scores = top1_scores(predictions, labels) if entry.scores is None else np.asarray(entry.scores)
        digest = proofs.proof_digest(proof, CHAIN_ID, MARKET)
        tree = PredictionTree(digest, predictions, scores)
        data = entry.predictions_file(encode_predictions(predictions, np.minimum(scores, 2**24)))
        locator = self.storage.add(data)
        if not entry.serves_predictions:
            self.storage.lose(locator)
        claim = Claim(tree.total, tree.root(len(labels)), locator)
        chain = FakeChain(self.world.market, self.keys.address)
        signature = self.keys.sign_typed(proofs.score_claim_typed_data(digest, claim, CHAIN_ID, MARKET))
        chain.reveal(proof, SALT, claim, tree.h_top, signature)
        return claim

    def open_claim(self, proof: TrainingProof, claim: Claim) -> None:
        """The model is public."""
        chain = FakeChain(self.world.market, self.keys.address)
        chain.open(proof, claim, SEAL_KEY, SLOT_KEYS[0], proofs.slot_path(SLOT_KEYS, 0))


@dataclass(slots=True)
class Stage:
    """Where cases are played: a folder of its own for each, and the scoring process for all."""

    folder: Path
    scorer: ConfinedScorer = field(default_factory=lambda: ConfinedScorer(begins_now=True))
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def scoring_pid(self) -> int | None:
        """Whose memory is watched, too."""
        return self.scorer.pid

    def place(self) -> Path:
        """An empty folder."""
        place = self.folder / str(next(self._numbers))
        place.mkdir(parents=True)
        return place

    def play(self, task: Task | None = None, beside: Play | None = None, who: str = "miner") -> Play:
        """A task on a market of its own, or beside another play's."""
        return Play(self.place(), task or Task(), beside, who)

    def close(self) -> None:
        """The scoring process ends."""
        self.scorer.close()


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """A stage with everything that all cases need made already."""
    stage = Stage(folder)
    try:
        samples(), honest_model(), honest_test()
        yield stage
    finally:
        stage.close()


@contextmanager
def limited(memory_bytes: int | None = None, seconds: float | None = None) -> Iterator[ConfinedScorer]:
    """A scoring process of a small machine."""
    scorer = ConfinedScorer(ScoringLimits(memory_bytes, seconds))
    try:
        yield scorer
    finally:
        scorer.close()


def said(found: Examination) -> str:
    """The verdict with its grounds, after the way that it takes from the examining process to the daemon."""
    read = examination_from_json(json.dumps(examination_to_json(found)).encode())
    why = ground_names(read.grounds) or sorted({check.name for check in read.failed})
    reason = "; ".join(f"{check.name}: {check.found}" for check in read.failed)
    return f"{read.verdict.name.lower()}{': ' if why else ''}{', '.join(why)} | {reason}"


def _least_bytes(task: Task, labels: int) -> int:
    """A manifest that is to be read must name a size that its samples give."""
    return labels * (4 * int(np.prod(task.architecture.input_shape)) + 8)


def _manifest_bytes(manifest: Manifest) -> bytes:
    test = manifest.tests[0]
    least = test.samples * (4 * int(np.prod(manifest.architecture.input_shape)) + 8)
    bounded = replace(test, size_bytes=min(max(test.size_bytes, least), least + 4096))
    return manifest_to_bytes(replace(manifest, tests=(bounded,)))
