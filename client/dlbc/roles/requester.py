"""The requester: prepares and posts a task, releases its test set on time, takes its money home.

Nothing is posted before everything needed to release it is durable: the journal holds the test key and the whole
preimage first. A lost journal is survivable too: the wallet signs the test key again (core.test_key), and the rest of
the preimage follows from the sealed test set on IPFS.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlbc.core import watermark
from dlbc.core.architecture import Architecture, architecture_from_json, stored_values, tensor_shapes
from dlbc.core.canonical import to_bytes
from dlbc.core.decide import Decision, Do, decide_requester
from dlbc.core.difficulty import difficulty
from dlbc.core.errors import BadInput, ContractRefused, DlbcError, NotFound, Refused, TryLater, VerificationFailed
from dlbc.core.events import Receipt, TaskPosted
from dlbc.core.hashing import sha256
from dlbc.core.manifest import Manifest, SealedTest, Shard, Training, manifest_to_bytes, workload_of
from dlbc.core.proofs import key_hash, terms_hash, test_commitment
from dlbc.core.records import from_record, hex_bytes, to_record
from dlbc.core.scoring import label_root
from dlbc.core.task_file import TaskFile, check_against_market
from dlbc.core.test_key import data_digest, derive_test_key, task_secrets_typed_data
from dlbc.core.types import METRIC_TOP1, Hash32, TaskId, Terms, TestSet, Wei
from dlbc.core.units import format_amount
from dlbc.ports import Chain, Dataset, DataSource, Journal, Keys, Pool, Storage, Trainer
from dlbc.roles.artifacts import FETCH_SECONDS, fetch_manifest, fetch_sealed, store_sealed
from dlbc.roles.collecting import pull_credits
from dlbc.roles.keeper import advance, read_facts, report_phase
from dlbc.roles.loop import Report, unheard
from dlbc.roles.stakes import stake_warning

SHARD_BYTES = 8 * 2**20
DRAFT = "draft"

Preimage = tuple[TestSet, bytes]
"""Of a test commitment: the test set's facts and its key, which is secret until it is released."""

OpenJournal = Callable[[], AbstractContextManager[Journal]]
ReadJournal = Callable[[], AbstractContextManager[Journal | None]]


@dataclass(frozen=True, slots=True)
class Draft:
    """A prepared task: all of it is stored and journaled, nothing is posted yet (or we do not know that it is)."""

    key: str
    terms: Terms
    test_set: TestSet
    test_key: bytes
    stage: str  # "prepared", "posting" or "posted"
    tasks_before: int
    task_id: TaskId | None

    def __repr__(self) -> str:
        """Never shows the key."""
        return f"Draft({self.key}, {self.stage})"

    @property
    def commitments(self) -> tuple[Hash32, ...]:
        """One test commitment a round."""
        return (test_commitment(self.test_set),)

    @property
    def terms_hash(self) -> Hash32:
        """What the market will store."""
        return terms_hash(self.terms, self.commitments)


@dataclass(frozen=True, slots=True)
class Quote:
    """What posting will cost."""

    bounty_wei: Wei
    bond_wei: Wei
    value_wei: Wei
    fee_wei: Wei
    difficulty: int
    balance_wei: Wei
    samples: int
    test_samples: int
    parameters: int
    stored_bytes: int
    warning: str  # why the bounty is more than auditors can protect; "" if it is not


@dataclass(frozen=True, slots=True)
class Requester:
    """One requester's account on one market."""

    chain: Chain
    pool: Pool
    storage: Storage
    keys: Keys
    data: DataSource
    trainer: Trainer
    open_journal: OpenJournal
    read_journal: ReadJournal
    """What is there, even while another command of this account writes: a release has no time to wait for a posting."""
    report: Report = unheard

    # ------------------------------------------------------------------ post

    def prepare(self, task: TaskFile, folder: Path) -> Draft:
        """Packs, seals and stores everything and journals the draft. Running it again continues the same draft.

        Raises BadInput for the file, the data, or terms the market would refuse; nothing is sent to the chain.
        """
        check_against_market(task, self.chain.params())
        training, test = self.data.load(task.source, folder, task.seed)
        architecture = architecture_for(task, training)
        with self.open_journal() as journal:
            key = self._draft_key(task, training, test)
            record = journal.get(DRAFT, key)
            if record is None or "terms" not in record:
                record = self._store(journal, key, task, architecture, training, test)
            return _draft(key, record)

    def quote(self, draft: Draft) -> Quote:
        """What posting costs now."""
        terms, params = draft.terms, self.chain.params()
        return Quote(
            bounty_wei=terms.bounty_wei,
            bond_wei=terms.bond_wei,
            value_wei=Wei(terms.bounty_wei + terms.bond_wei),
            fee_wei=Wei(terms.bounty_wei * params.fee_bps // 10_000),
            difficulty=difficulty(terms.workload, self.chain.open_tasks() + 1, params),
            balance_wei=self.chain.balance(self.keys.address),
            samples=terms.workload.samples,
            test_samples=draft.test_set.samples,
            parameters=terms.workload.parameters,
            stored_bytes=terms.workload.data_bytes,
            warning=stake_warning(terms.bounty_wei, self.pool.totals()[0]),
        )

    def post(self, draft: Draft) -> tuple[TaskId, Receipt | None]:
        """Posts the draft once, whatever crashed before; the receipt is None if it was posted already.

        Raises Refused when the account can't pay.
        """
        with self.open_journal() as journal:
            if draft.task_id is not None:
                return draft.task_id, None
            if draft.stage == "posting":
                # Asked before the look: what is mined in between, the look finds.
                waiting = self.chain.finish_sent()
                adopted = self._find(draft)
                if adopted is not None:
                    _note(journal, draft.key, stage="posted", task_id=adopted)
                    return adopted, None
                if waiting:
                    raise TryLater(
                        f"{waiting} transactions of {self.keys.address} are not mined yet, and one of them may be this "
                        "very posting, sent before a crash; wait, then run the same command again"
                    )
            value = draft.terms.bounty_wei + draft.terms.bond_wei
            balance = self.chain.balance(self.keys.address)
            if balance < value:
                raise Refused(
                    f"posting sends {format_amount(value)} (bounty and bond), {self.keys.address} holds "
                    f"{format_amount(balance)}; "
                    "fund the account or lower the bounty. Nothing was sent"
                )
            _note(journal, draft.key, stage="posting", tasks_before=self.chain.task_count())
            receipt = self.chain.post(draft.terms, draft.commitments)
            task_id = receipt.task_id
            if task_id is None:
                raise DlbcError("the market's answer to post() names no task; look for it with `dlbc task list`")
            _note(journal, draft.key, stage="posted", task_id=task_id)
            self.report("task_posted", task_id=task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
            return task_id, receipt

    def forget(self, draft: Draft) -> None:
        """Makes the next prepare of the same file a new task. The posted one stays releasable."""
        with self.open_journal() as journal:
            record = journal.get(DRAFT, draft.key)
            if record is not None and draft.task_id is not None:
                journal.put(DRAFT, f"{draft.key}@{draft.task_id}", record)
                journal.delete(DRAFT, draft.key)

    # ------------------------------------------------------------------ after posting

    def release(self, task_id: TaskId) -> Receipt:
        """Releases the test set of the current round from the journal or, if that is lost, from the wallet.

        Raises Refused naming what is missing, before anything is sent.
        """
        committed = self.chain.round(task_id, self.chain.task(task_id).round).test_commitment
        return self.release_with(task_id, self._preimage(task_id, committed))

    def release_with(self, task_id: TaskId, preimage: Preimage) -> Receipt:
        """The same with a preimage that is known."""
        receipt = self.chain.release(task_id, *preimage)
        self.report("test_set_released", task_id=task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        return receipt

    def cancel(self, task_id: TaskId) -> list[Receipt]:
        """Takes an uncommitted task back, and the money with it."""
        receipts = [self.chain.cancel(task_id)]
        receipts += pull_credits(self.chain, self.pool, self.keys.address, self.report, task_id).receipts
        return receipts

    def step(self, task_id: TaskId) -> Decision:
        """One look at one task, and at most one transaction: release, advance or withdraw."""
        facts = read_facts(self.chain, task_id)
        report_phase(self.report, task_id, facts)
        credit = Wei(self.chain.credit(self.keys.address) + self.pool.credit(self.keys.address))
        decision = decide_requester(facts, credit)
        try:
            if decision.do is Do.RELEASE:
                self.release(task_id)
            elif decision.do is Do.ADVANCE:
                advance(self.chain, task_id, self.report)
            elif decision.do is Do.WITHDRAW:
                pull_credits(self.chain, self.pool, self.keys.address, self.report, task_id)
        except ContractRefused as error:
            # Somebody else was faster, or the block that mined it was a second older: the next look decides anew.
            self.report("refused", task_id=task_id, do=decision.do.value, reason=str(error))
        return decision

    # ------------------------------------------------------------------ inside

    def _draft_key(self, task: TaskFile, training: Dataset, test: Dataset) -> str:
        """One draft per market, task file and data: the same input continues it."""
        about = {
            "market": [self.chain.chain_id, self.chain.market],
            "task": to_record(task),
            "data": [sha256(array.tobytes()).hex() for part in (training, test) for array in (part.x, part.y)],
        }
        return sha256(to_bytes(about)).hex()[:32]

    def _store(
        self,
        journal: Journal,
        key: str,
        task: TaskFile,
        architecture: Architecture,
        training: Dataset,
        test: Dataset,
    ) -> dict[str, Any]:
        shards = self._store_shards(training)
        test_key = self._new_test_key(data_digest(shards))
        plain = self.data.pack(test)
        sealed = store_sealed(self.storage, [plain], test_key)
        self.report("test_set_sealed", samples=len(test.y), bytes=len(plain))
        manifest = Manifest(
            name=task.name,
            architecture=architecture,
            training=Training(task.epochs, task.batch, task.learning_rate_ppm),
            shards=shards,
            tests=(SealedTest(sealed, len(plain), len(test.y)),),
            model_bytes=model_bytes_limit(architecture),
        )
        data = manifest_to_bytes(manifest)
        locator = self.storage.add(data)
        terms = Terms(
            manifest_hash=sha256(data),
            manifest=locator,
            workload=workload_of(manifest),
            train_seconds=task.train_seconds,
            release_seconds=task.release_seconds,
            reveal_seconds=task.reveal_seconds,
            open_seconds=task.open_seconds,
            challenge_seconds=task.challenge_seconds,
            min_score_ppm=task.min_score_ppm,
            min_gain_ppm=0,
            tolerance_ppm=task.tolerance_ppm,
            bounty_wei=task.bounty_wei,
            deposit_wei=task.deposit_wei,
            bond_wei=task.bond_wei,
            royalty_bps=task.royalty_bps,
        )
        test_set = TestSet(
            sealed_locator=sealed,
            plaintext_hash=sha256(plain),
            key_hash=key_hash(test_key),
            samples=len(test.y),
            max_sample_score=1,
            classes=architecture.classes,
            metric=METRIC_TOP1,
            labels_root=label_root(test.y),
        )
        record: dict[str, Any] = {
            "name": task.name,
            "stage": "prepared",
            "tasks_before": 0,
            "task_id": None,
            "terms": to_record(terms),
            "test_set": to_record(test_set),
            "test_key": to_record(test_key),
        }
        journal.put(DRAFT, key, record)
        return record

    def _store_shards(self, training: Dataset) -> tuple[Shard, ...]:
        # A fresh random order: see core.test_key. Miners shuffle anyway.
        order = np.random.default_rng(secrets.randbits(128)).permutation(len(training.y))
        sample_bytes = training.x[0].nbytes + training.y[0].nbytes
        size = max(1, SHARD_BYTES // sample_bytes)
        shards = []
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            packed = self.data.pack(Dataset(training.x[chosen], training.y[chosen]))
            shards.append(Shard(self.storage.add(packed), sha256(packed), len(packed), len(chosen)))
            self.report("shard_stored", number=len(shards), samples=len(chosen), bytes=len(packed))
        return tuple(shards)

    def _new_test_key(self, data: Hash32) -> bytes:
        """From the wallet; from 32 random bytes, which then only the journal has, if it signs differently each time."""
        signed = [self._sign_task_secrets(data) for _ in range(2)]
        if signed[0] == signed[1]:
            return derive_test_key(signed[0])
        return derive_test_key(secrets.token_bytes(32))

    def _sign_task_secrets(self, data: Hash32) -> bytes:
        return self.keys.sign_typed(task_secrets_typed_data(data, 0, self.chain.chain_id, self.chain.market))

    def _find(self, draft: Draft) -> TaskId | None:
        """The task this draft became, among those posted since the intent was written."""
        for number in range(draft.tasks_before + 1, self.chain.task_count() + 1):
            task = self.chain.task(TaskId(number))
            if task.requester == self.keys.address and task.terms_hash == draft.terms_hash:
                return TaskId(number)
        return None

    # ------------------------------------------------------------------ the preimage of a test commitment

    def kept_preimage(self, committed: Hash32) -> Preimage | None:
        """From the journal."""
        with self.read_journal() as journal:
            for key, record in [] if journal is None else journal.all(DRAFT):
                if "terms" in record:
                    draft = _draft(key, record)
                    if test_commitment(draft.test_set) == committed:
                        return draft.test_set, draft.test_key
        return None

    def preimage_from_wallet(
        self, posted: TaskPosted, committed: Hash32, storage: Storage, *, timeout: float = FETCH_SECONDS
    ) -> Preimage:
        """Without the journal: the wallet signs the key again, `storage` has the rest. Sends nothing.

        Raises NotFound, Unavailable, VerificationFailed when that is not what was committed.
        """
        if posted.requester != self.keys.address:
            raise NotFound(f"{posted.requester} posted it, not {self.keys.address}")
        manifest = fetch_manifest(storage, posted, timeout=timeout)
        listed, classes = manifest.tests[0], manifest.architecture.classes
        key = derive_test_key(self._sign_task_secrets(data_digest(manifest.shards)))
        plain = b"".join(fetch_sealed(storage, listed.sealed, key, max_bytes=listed.size_bytes, timeout=timeout))
        data = self.trainer.parse_dataset(plain, input_shape=manifest.architecture.input_shape, classes=classes)
        test_set = TestSet(
            sealed_locator=listed.sealed,
            plaintext_hash=sha256(plain),
            key_hash=key_hash(key),
            samples=len(data.y),
            max_sample_score=1,
            classes=classes,
            metric=METRIC_TOP1,
            labels_root=label_root(data.y),
        )
        if test_commitment(test_set) != committed:
            raise VerificationFailed("the recovered test set is not the committed one")
        return test_set, key

    def journaled_tasks(self) -> list[tuple[TaskId, Hash32]]:
        """(task, its terms' hash) of every posting that the journal knows, on whatever market it was."""
        with self.read_journal() as journal:
            drafts = [
                _draft(key, record)
                for key, record in ([] if journal is None else journal.all(DRAFT))
                if "terms" in record
            ]
        return [(draft.task_id, draft.terms_hash) for draft in drafts if draft.task_id is not None]

    def _preimage(self, task_id: TaskId, committed: Hash32) -> Preimage:
        kept = self.kept_preimage(committed)
        if kept is not None:
            return kept
        try:
            return self.preimage_from_wallet(self.chain.task_posted(task_id), committed, self.storage)
        except DlbcError as error:
            raise Refused(
                f"task {task_id} can't be released: its test key is not in this journal, and the wallet does not give "
                f"it back ({error}); use the account and the home folder that posted it"
            ) from error


# ------------------------------------------------------------------ values in, values out


def architecture_for(task: TaskFile, data: Dataset) -> Architecture:
    """The task file's model for this data; refuses one too small to be watermarked (P-91). Raises BadInput."""
    settings = {
        "hidden": list(task.hidden),
        "channels": list(task.channels),
        "blocks": list(task.blocks),
        "width": task.width,
        "heads": task.heads,
        "layers": task.layers,
    }
    architecture = architecture_from_json(
        {
            "family": task.family,
            "input_shape": list(data.x.shape[1:]),
            "classes": int(data.y.max()) + 1,
            **{name: setting for name, setting in settings.items() if setting},
        }
    )
    carriers = watermark.carriers_per_slot(tensor_shapes(architecture))
    if carriers < watermark.MIN_CARRIERS:
        raise BadInput(
            f"model: a watermark needs {watermark.MIN_CARRIERS} carriers a slot and this model has {carriers}; "
            "use wider or more layers"
        )
    return architecture


def model_bytes_limit(architecture: Architecture) -> int:
    """Largest model file a miner may deliver: float32 weights and room for the safetensors header."""
    return 4 * stored_values(architecture) + 256 * len(tensor_shapes(architecture)) + 1024


def _draft(key: str, record: dict[str, Any]) -> Draft:
    return Draft(
        key=key,
        terms=from_record(Terms, record["terms"]),
        test_set=from_record(TestSet, record["test_set"]),
        test_key=hex_bytes(record["test_key"], "test_key", 32),
        stage=str(record["stage"]),
        tasks_before=int(record["tasks_before"]),
        task_id=None if record["task_id"] is None else TaskId(int(record["task_id"])),
    )


def _note(journal: Journal, key: str, **changes: Any) -> None:
    record = journal.get(DRAFT, key)
    assert record is not None, "a draft is journaled before it is posted"
    journal.put(DRAFT, key, record | changes)
