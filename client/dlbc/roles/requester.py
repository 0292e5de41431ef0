"""The requester: prepares and posts a task, releases its test set on time, takes its money home.

Nothing is posted before everything needed to release it is durable: the journal holds the test key and the whole
preimage first. A lost journal is survivable too: the wallet signs the test key again (core.test_key), and the rest of
the preimage follows from the sealed test set on IPFS.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from dlbc.core.decide import Decision, Do, decide_requester
from dlbc.core.difficulty import difficulty
from dlbc.core.errors import ContractRefused, DlbcError, NotFound, Refused, TryLater, VerificationFailed
from dlbc.core.events import Receipt, TaskPosted
from dlbc.core.proofs import test_commitment
from dlbc.core.task_file import TaskFile, check_against_market
from dlbc.core.test_key import data_digest, derive_test_key
from dlbc.core.types import Hash32, TaskId, Wei
from dlbc.core.units import format_amount
from dlbc.ports import Chain, DataSource, Journal, Keys, Pool, Storage, Trainer
from dlbc.roles.artifacts import FETCH_SECONDS, fetch_manifest, fetch_sealed
from dlbc.roles.collecting import pull_credits
from dlbc.roles.drafts import DRAFT, Draft, Preimage, draft_of, note_draft
from dlbc.roles.keeper import advance, read_facts, report_phase
from dlbc.roles.loop import Report, unheard
from dlbc.roles.preparing import Preparation, architecture_for, described, sign_task_secrets
from dlbc.roles.stakes import stake_warning

OpenJournal = Callable[[], AbstractContextManager[Journal]]
ReadJournal = Callable[[], AbstractContextManager[Journal | None]]


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
            preparation = Preparation(self.chain, self.storage, self.keys, self.data, self.report)
            key = preparation.draft_key(task, training, test)
            record = journal.get(DRAFT, key)
            if record is None or "terms" not in record:
                record = preparation.store(task, architecture, training, test)
                journal.put(DRAFT, key, record)
            return draft_of(key, record)

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
                    note_draft(journal, draft.key, stage="posted", task_id=adopted)
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
            note_draft(journal, draft.key, stage="posting", tasks_before=self.chain.task_count())
            receipt = self.chain.post(draft.terms, draft.commitments)
            task_id = receipt.task_id
            if task_id is None:
                raise DlbcError("the market's answer to post() names no task; look for it with `dlbc task list`")
            note_draft(journal, draft.key, stage="posted", task_id=task_id)
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
                    draft = draft_of(key, record)
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
        key = derive_test_key(sign_task_secrets(self.keys, self.chain, data_digest(manifest.shards)))
        plain = b"".join(fetch_sealed(storage, listed.sealed, key, max_bytes=listed.size_bytes, timeout=timeout))
        data = self.trainer.parse_dataset(plain, input_shape=manifest.architecture.input_shape, classes=classes)
        test_set = described(listed.sealed, plain, key, data.y, classes)
        if test_commitment(test_set) != committed:
            raise VerificationFailed("the recovered test set is not the committed one")
        return test_set, key

    def journaled_tasks(self) -> list[tuple[TaskId, Hash32]]:
        """(task, its terms' hash) of every posting that the journal knows, on whatever market it was."""
        with self.read_journal() as journal:
            drafts = [
                draft_of(key, record)
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
