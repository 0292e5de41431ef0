"""The Chain port on a real chain: one TaskMarket with its registry and lens, through one RPC endpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

from eth_utils.address import is_checksum_formatted_address, to_checksum_address

from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.connection import Connection, place, receipt
from dlbc.adapters.chain.history import read_history
from dlbc.adapters.chain.logs import decode_log
from dlbc.adapters.chain.news import read_news
from dlbc.adapters.chain.outcomes import Mined
from dlbc.adapters.chain.rpc import Rpc
from dlbc.adapters.chain.transactions import FREELY, Sending
from dlbc.adapters.signatures import recover_signer
from dlbc.core import proofs
from dlbc.core.difficulty import rank
from dlbc.core.errors import ChainUnreachable, ContractRefused, NotFound, Usage, VerificationFailed
from dlbc.core.events import (
    ClaimRevealed,
    ClaimStruck,
    ModelCommitted,
    ModelOpened,
    News,
    Prize,
    Receipt,
    RoundSettled,
    SlotRevealed,
    TaskEvent,
    TaskPosted,
    TestSetReleased,
)
from dlbc.core.types import (
    Address,
    BlockHeader,
    Claim,
    Entry,
    Hash32,
    Locator,
    Lock,
    Params,
    Phase,
    PhaseInfo,
    RankedTask,
    Round,
    SlotReveal,
    Task,
    TaskId,
    Terms,
    TestSet,
    Timestamp,
    TrainingProof,
    WatermarkRecord,
    Wei,
    Winner,
)
from dlbc.ports import Keys, Payout

RANKED_PAGE = 100
PHASES_PAGE = 500
"""Tasks that one call to the lens is asked for."""
MAX_LISTED = 100_000
"""Tasks read at most for one ranked list: a lying count must not keep us busy for ever."""


_MAX_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of secp256k1, as in SignatureLib.sol: a higher s has a second form."""
_ENDS = ("TaskCancelled", "TaskVoided", "TaskAborted")


class Web3Chain:
    """One market as one account sees it. Sends nothing before the first call, which checks chain and address."""

    def __init__(
        self,
        rpc_url: str,
        market: Address,
        lens: Address | None = None,
        keys: Keys | None = None,
        deployment_block: int = 0,
        expected_chain_id: int | None = None,
        timeout: float = 20.0,
        mining_deadline: float = 180.0,
        sending: Sending = FREELY,
        payout: Payout | None = None,
    ) -> None:
        """`timeout`: seconds for one request; `mining_deadline`: seconds until a transaction must be mined.

        Without a lens, lists are ranked here and `locks` is refused. Raises Usage for a malformed URL or address.
        """
        self._market_address = _address("market", market)
        self._lens_address = _address("lens", lens) if lens else None
        places = {"market": self._market_address} | ({"lens": self._lens_address} if self._lens_address else {})
        rpc = Rpc(rpc_url, timeout)
        self.connection = Connection(rpc, keys, places, deployment_block, expected_chain_id, mining_deadline, sending)
        """What the adapter of the market's pool shares with this one."""
        self._payout = payout

    @property
    def chain_id(self) -> int:
        """The chain's id, once chain and addresses are known to be the right ones."""
        return self.connection.chain_id

    @property
    def market(self) -> Address:
        """The market's address."""
        return self._market_address

    @property
    def account(self) -> Address | None:
        """Who sends transactions."""
        return self.connection.keys.address if self.connection.keys else None

    @property
    def payout(self) -> Payout | None:
        """Where the account's withdrawals go; None = to itself."""
        return self._payout

    @cached_property
    def registry(self) -> Address:
        """The ledger's address, as the market knows it."""
        address: Address = self._market("registry")
        return address

    def now(self) -> Timestamp:
        """Time of a transaction mined now; never before the latest block's."""
        return Timestamp(max(self.connection.block_time("pending"), self.connection.block_time("latest")))

    # ------------------------------------------------------------------ reads

    def params(self) -> Params:
        """The market's parameters; they never change."""
        return self._params

    def task_count(self) -> int:
        """Tasks posted so far; ids run from 1 to this number."""
        return int(self._market("counters")[0])

    def open_tasks(self) -> int:
        """Tasks not yet cold."""
        return int(self._market("counters")[1])

    def task(self, task_id: TaskId) -> Task:
        """A task's facts. Raises NotFound."""
        if not 0 < task_id < 2**256:
            raise _no_task(task_id)
        try:
            task: Task = self._market("taskOf", task_id)
        except ContractRefused as error:
            if error.name == "Market_UnknownTask":
                raise _no_task(task_id) from error
            raise
        if not task.posted_at:
            raise _no_task(task_id)
        return task

    def round(self, task_id: TaskId, round: int) -> Round:
        """A round's facts."""
        facts: Round = self._market("roundOf", task_id, round)
        return facts

    def entry(self, task_id: TaskId, round: int, miner: Address) -> Entry:
        """A miner's entry in a round."""
        entry: Entry = self._market("entryOf", task_id, round, miner)
        return entry

    def phase(self, task_id: TaskId) -> PhaseInfo:
        """The phase at the latest block's time."""
        return PhaseInfo(*self._market("phaseOf", task_id))

    def phases(self, first: TaskId, count: int) -> list[PhaseInfo]:
        """Of the tasks first .. first + count - 1, as far as they exist, by pages."""
        ids = range(first, min(first + count, self.task_count() + 1))
        if not self._lens_address:
            found = self.connection.views("TaskMarket", self._market_address, "phaseOf", [(number,) for number in ids])
            return [PhaseInfo(*values) for values in found]
        pages = self._pages("phases", ids, PHASES_PAGE)
        phases, dues, ends = ([value for page in pages for value in page[column]] for column in range(3))
        if not len(phases) == len(dues) == len(ends) == len(ids):
            raise VerificationFailed(
                f"the lens {self._lens_address} tells phases of other tasks than it was asked for; check its address"
            )
        return [PhaseInfo(*row) for row in zip(phases, dues, ends, strict=True)]

    def tasks(self, task_ids: Sequence[TaskId]) -> list[tuple[Task, Round]]:
        """Facts of tasks that exist, each with its present round's, in few requests."""
        tasks: list[Task] = self.connection.views(
            "TaskMarket", self._market_address, "taskOf", [(task_id,) for task_id in task_ids]
        )
        places = [(task_id, task.round) for task_id, task in zip(task_ids, tasks, strict=True)]
        rounds: list[Round] = self.connection.views("TaskMarket", self._market_address, "roundOf", places)
        return list(zip(tasks, rounds, strict=True))

    def ranked_tasks(self) -> list[RankedTask]:
        """All tasks in Training, best first; ties by lower id."""
        count = min(self.task_count(), MAX_LISTED)
        rows = self._ranked_by_lens(count) if self._lens_address else self._ranked_here(count)
        return sorted(rows, key=lambda row: (-row.rank, row.task_id))

    def locks(self, task_id: TaskId, account: Address) -> list[Lock]:
        """What is locked for the account in this task. Raises Usage without a lens."""
        if not self._lens_address:
            raise Usage("listing locked amounts needs the market's lens; set DLBC_LENS to its address")
        return list(self.connection.view("MarketLens", self._lens_address, "locksOf", task_id, account))

    def credit(self, account: Address) -> Wei:
        """What the account may withdraw."""
        return Wei(self._market("creditOf", account))

    def balance(self, account: Address) -> Wei:
        """Ether the account owns outside the market."""
        return Wei(self.connection.quantity("eth_getBalance", account, "latest"))

    def gas_price(self) -> Wei:
        """What a transaction offers for one gas now, at most."""
        return Wei(self.connection.gas_price())

    def finish_sent(self) -> int:
        """Waits for what an earlier process of our account sent, and raises its price where fees rose."""
        return 0 if self.account is None else self.connection.finish_sent()

    def liabilities(self) -> tuple[Wei, Wei]:
        """(locked, credited) in the market."""
        locked, credited = self._market("liabilities")
        return Wei(locked), Wei(credited)

    def market_balance(self) -> Wei:
        """Ether the market holds."""
        return self.balance(self._market_address)

    def winner(self, task_id: TaskId, round: int) -> Winner:
        """The settled winner of a round; its miner is ZERO_ADDRESS until then."""
        winner: Winner = self._ledger("winnerOf", task_id, round)
        return winner

    def watermark(self, model_hash: Hash32) -> WatermarkRecord:
        """Who registered the watermark of a settled model."""
        record: WatermarkRecord = self._ledger("watermarkOf", model_hash)
        return record

    def slot(self, model_hash: Hash32, slot: int) -> SlotReveal:
        """When a slot of a settled model was published as evidence; zeros if it was not."""
        reveal: SlotReveal = self._ledger("slotOf", model_hash, slot)
        return reveal

    def block_hash(self, height: int) -> Hash32:
        """Hash of a ledger block. Raises NotFound."""
        try:
            return Hash32(self._ledger("blockHash", height))
        except ContractRefused as error:
            if error.name == "Registry_UnknownBlock":
                raise NotFound(str(error)) from error
            raise

    def head(self) -> tuple[int, Hash32, int]:
        """(blocks, head hash, cumulative difficulty) of the ledger."""
        blocks, head_hash, cumulative = self._ledger("head")
        return blocks, Hash32(head_hash), cumulative

    def genesis_hash(self) -> Hash32:
        """What ledger block 0 links to."""
        return Hash32(self._ledger("genesisHash"))

    def verify_block(self, header: BlockHeader) -> bool:
        """True iff the ledger stores exactly this block."""
        return bool(self._ledger("verifyBlock", header))

    def verify_proof(self, proof: TrainingProof, claim: Claim, signature: bytes) -> bool:
        """True iff proof and claim were revealed and the signature is the miner's. As MarketLens.verifyProof, but needs
        no lens.
        """
        entry = self.entry(proof.task_id, proof.round, proof.miner)
        digest = proofs.proof_digest(proof, self.chain_id, self._market_address)
        if not entry.has_revealed or entry.digest != proofs.claim_hash(digest, claim):
            return False
        signed = proofs.score_claim_digest(digest, claim, self.chain_id, self._market_address)
        return self._has_signed(proof.miner, signed, signature)

    # ------------------------------------------------------------------ the log

    def task_posted(self, task_id: TaskId) -> TaskPosted:
        """The posting of a task. Raises NotFound."""
        for values in self._logs("TaskPosted", task_id):
            posted: TaskPosted = codec.build(TaskPosted, values)
            return posted
        raise _no_task(task_id)

    def postings(self) -> Iterator[TaskPosted]:
        """Of all tasks, oldest first, read as they are consumed."""
        return (codec.build(TaskPosted, values) for values in self._logs("TaskPosted"))

    def postings_of(self, requester: Address) -> list[TaskPosted]:
        """Of one requester, oldest first."""
        return [codec.build(TaskPosted, values) for values in self._logs("TaskPosted", None, requester)]

    def queue_at_posting(self, task_id: TaskId) -> int:
        """Tasks not yet cold right after this one was posted, itself included, counted from the log."""
        postings = {
            int(values["task_id"]): (place(values), len(values["test_commitments"]))
            for values in self._logs("TaskPosted")
        }
        if task_id not in postings:
            raise _no_task(task_id)
        moment, _ = postings[task_id]
        ends = [place(values) for event in _ENDS for values in self._logs(event)]
        for values in self._logs("RoundSettled"):
            _, rounds = postings.get(int(values["task_id"]), (moment, 0))
            if values["round"] + 1 == rounds:
                ends.append(place(values))
        return sum(posted <= moment for posted, _ in postings.values()) - sum(end < moment for end in ends)

    def commits(self, task_id: TaskId, round: int | None = None) -> list[ModelCommitted]:
        """Commits and replacements of a round, or of all rounds of a task, oldest first."""
        return [codec.build(ModelCommitted, values) for values in self._logs("ModelCommitted", task_id, round)]

    def all_commits(self) -> Iterator[ModelCommitted]:
        """Commits and replacements of all tasks, oldest first, read as they are consumed."""
        return (codec.build(ModelCommitted, values) for values in self._logs("ModelCommitted"))

    def commits_of(self, miner: Address) -> list[ModelCommitted]:
        """Commits and replacements of one miner, oldest first."""
        return [codec.build(ModelCommitted, values) for values in self._logs("ModelCommitted", None, None, miner)]

    def prizes_of(self, miner: Address) -> list[Prize]:
        """Settlements that this miner won, oldest first."""
        logs = list(self._logs("RoundSettled", None, None, miner))
        times = {number: self.connection.block_time(hex(number)) for number in {log["block_number"] for log in logs}}
        return [
            Prize(log["task_id"], log["round"], Wei(log["paid_wei"]), Timestamp(times[log["block_number"]]))
            for log in logs
        ]

    def news(self, since: News | None = None) -> News:
        """One request while nothing happens; a second one for the log of a block with something in it."""
        return read_news(self.connection, self._market_address, self._pool, since)

    def released(self, task_id: TaskId, round: int) -> TestSetReleased | None:
        """The release of a round's test set, if it happened."""
        for values in self._logs("TestSetReleased", task_id, round):
            released: TestSetReleased = codec.build(TestSetReleased, values)
            return released
        return None

    def reveals(self, task_id: TaskId, round: int) -> list[ClaimRevealed]:
        """Reveals of a round, oldest first."""
        return [codec.build(ClaimRevealed, values) for values in self._logs("ClaimRevealed", task_id, round)]

    def strikes(self, task_id: TaskId, round: int) -> list[ClaimStruck]:
        """Strikes of a round, oldest first."""
        return [codec.build(ClaimStruck, values) for values in self._logs("ClaimStruck", task_id, round)]

    def openings(self, task_id: TaskId, round: int | None = None) -> list[ModelOpened]:
        """Openings of a round, or of all rounds of a task, oldest first."""
        return [codec.build(ModelOpened, values) for values in self._logs("ModelOpened", task_id, round)]

    def all_openings(self) -> Iterator[ModelOpened]:
        """Openings of all tasks, oldest first, read as they are consumed."""
        return (codec.build(ModelOpened, values) for values in self._logs("ModelOpened"))

    def settlements(self, task_id: TaskId) -> list[RoundSettled]:
        """Settlements of a task's rounds, oldest first."""
        return [codec.build(RoundSettled, values) for values in self._logs("RoundSettled", task_id)]

    def blocks(self, first: int = 0, count: int | None = None) -> list[BlockHeader]:
        """Ledger blocks `first` … as the log tells them, lowest first; verify_block says whether one is true."""
        logs = self.connection.logs("ModelRegistry", self.registry, "BlockAppended")
        headers: list[BlockHeader] = [values["header"] for values in logs]
        end = len(headers) + first if count is None else first + count
        return sorted((block for block in headers if first <= block.height < end), key=lambda block: block.height)

    def slot_reveals(self, model_hash: Hash32 | None = None) -> list[SlotRevealed]:
        """Slots published as evidence, of one settled model or of all, oldest first."""
        logs = self.connection.logs("ModelRegistry", self.registry, "SlotRevealed", [model_hash])
        return [codec.build(SlotRevealed, values) for values in logs]

    def history(self, task_id: TaskId) -> list[TaskEvent]:
        """Everything that the logs of market and pool tell of a task, oldest first."""
        return read_history(self.connection, self._market_address, self._pool, task_id)

    def block_times(self, numbers: Collection[int]) -> dict[int, Timestamp]:
        """When these blocks were made, in few requests."""
        return self.connection.block_times(numbers)

    # ------------------------------------------------------------------ writes

    def post(self, terms: Terms, test_commitments: Sequence[Hash32]) -> Receipt:
        """Posts a task with its bounties and bond; the receipt carries its id."""
        value = terms.bounty_wei * len(test_commitments) + terms.bond_wei
        mined = self._send("post", terms, list(test_commitments), value=value)
        event = abi.load("TaskMarket").events["TaskPosted"]
        topic = "0x" + event.topic.hex()
        for log in mined.logs:
            topics = log.get("topics")
            if isinstance(topics, list) and topics[:1] == [topic]:
                values = decode_log(self.connection.rpc, event, log, self._market_address, [topic])
                return receipt("post", mined, values["task_id"])
        raise self.connection.rpc.malformed("eth_getTransactionReceipt", "the TaskPosted event")

    def cancel(self, task_id: TaskId) -> Receipt:
        """Takes a task back before its first commit."""
        return self._write("cancel", task_id)

    def commit(
        self,
        task_id: TaskId,
        round: int,
        terms_hash: Hash32,
        commitment: Hash32,
        recovery: Locator,
        deposit_wei: Wei,
    ) -> Receipt:
        """Commits to a sealed model; a replacement sends a deposit of 0."""
        return self._write("commit", task_id, round, terms_hash, commitment, recovery, value=deposit_wei)

    def release(self, task_id: TaskId, test_set: TestSet, test_key: bytes) -> Receipt:
        """Publishes the test set and its key."""
        return self._write("release", task_id, test_set, test_key)

    def reveal(
        self,
        proof: TrainingProof,
        salt: bytes,
        claim: Claim,
        h_top: Hash32,
        signature: bytes,
        most_gas: int | None = None,
    ) -> Receipt:
        """Reveals a miner's claim."""
        return self._write("reveal", proof, salt, claim, h_top, signature, most_gas=most_gas)

    def nominate(self, task_id: TaskId, miner: Address) -> Receipt:
        """Puts forward a qualifying claim after a strike."""
        return self._write("nominate", task_id, miner)

    def open(
        self,
        proof: TrainingProof,
        claim: Claim,
        seal_key: bytes,
        slot_key: bytes,
        slot_path: Sequence[Hash32],
    ) -> Receipt:
        """Opens the leading model."""
        return self._write("open", proof, claim, seal_key, slot_key, list(slot_path))

    def advance(self, task_id: TaskId) -> Receipt:
        """Writes the fact that time has made due."""
        return self._write("advance", task_id)

    def reclaim(self, task_id: TaskId, round: int, miner: Address) -> Receipt:
        """Credits a miner its free deposit."""
        return self._write("reclaim", task_id, round, miner)

    def reveal_slot(self, model_hash: Hash32, slot: int, key: bytes, path: Sequence[Hash32]) -> Receipt:
        """Publishes the key of a settled model's watermark slot."""
        mined = self.connection.send("ModelRegistry", self.registry, "revealSlot", model_hash, slot, key, list(path))
        return receipt("revealSlot", mined)

    def withdraw(self, account: Address) -> Receipt:
        """Pays an account its whole credit."""
        return self._write("withdraw", account)

    def withdraw_to(self, to: Address) -> Receipt:
        """Pays the sender's whole credit to another address."""
        return self._write("withdrawTo", to)

    def pay(self, to: Address, wei: Wei) -> Receipt:
        """Sends ether of the account itself."""
        return receipt("pay", self.connection.pay(to, wei))

    # ------------------------------------------------------------------ how

    @cached_property
    def _rules(self) -> Address:
        """Where the market's parameters are."""
        address: Address = self._market("rules")
        return address

    @cached_property
    def _params(self) -> Params:
        params: Params = self.connection.view("MarketRules", self._rules, "params")
        return params

    @cached_property
    def _pool(self) -> Address:
        """Of auditors: demands and disputes are in its log."""
        return self.params().pool

    def _has_signed(self, signer: Address, digest: Hash32, signature: bytes) -> bool:
        """By its key, with low s; or, if it has code, by its own word (ERC-1271)."""
        try:
            is_low = int.from_bytes(signature[32:64], "big") <= _MAX_S
            if recover_signer(digest, signature) == signer and is_low:
                return True
        except VerificationFailed:
            pass  # not 65 bytes of a key's signature, but perhaps something that the signer's contract knows
        return self.connection.has_code(signer) and self.connection.is_accepted(signer, digest, signature)

    def _send(self, name: str, *arguments: Any, value: int = 0, most_gas: int | None = None) -> Mined:
        place = "TaskMarket", self._market_address
        return self.connection.send(*place, name, *arguments, value=value, most_gas=most_gas)

    def _write(self, name: str, *arguments: Any, value: int = 0, most_gas: int | None = None) -> Receipt:
        return receipt(name, self._send(name, *arguments, value=value, most_gas=most_gas))

    def _market(self, name: str, *arguments: Any) -> Any:
        return self.connection.view("TaskMarket", self._market_address, name, *arguments)

    def _ledger(self, name: str, *arguments: Any) -> Any:
        return self.connection.view("ModelRegistry", self.registry, name, *arguments)

    def _logs(self, event: str, *indexed: int | str | None) -> Iterator[dict[str, Any]]:
        return self.connection.logs("TaskMarket", self._market_address, event, indexed)

    # -- the ranked list

    def _ranked_by_lens(self, count: int) -> list[RankedTask]:
        return [row for page in self._pages("rankedTasks", range(1, count + 1), RANKED_PAGE) for row in page]

    def _pages(self, name: str, ids: range, page: int) -> list[Any]:
        """What the lens answers, so many tasks a call."""
        assert self._lens_address is not None
        while True:
            calls = [(first, min(page, ids.stop - first)) for first in range(ids.start, ids.stop, page)]
            try:
                return self.connection.views("MarketLens", self._lens_address, name, calls)
            except (ChainUnreachable, ContractRefused):  # out of gas in one call: the node's limit is lower than ours
                if page == 1:
                    raise
                page = max(1, page // 4)

    def _ranked_here(self, count: int) -> list[RankedTask]:
        now, aging = self.connection.block_time("latest"), self.params().aging_seconds
        phases = enumerate(self.phases(TaskId(1), count), start=1)
        ids = [TaskId(number) for number, info in phases if info.phase is Phase.TRAINING and not info.due]
        return [
            RankedTask(
                task_id=task_id,
                rank=rank(task.bounty_wei, max(0, now - task.posted_at), task.difficulty, aging),
                bounty_wei=task.bounty_wei,
                difficulty=task.difficulty,
                posted_at=task.posted_at,
                train_end=facts.train_end,
                commits=facts.commits,
            )
            for task_id, (task, facts) in zip(ids, self.tasks(ids), strict=True)
        ]


def _no_task(task_id: int) -> NotFound:
    return NotFound(f"there is no task {str(task_id)[:80]}; `dlbc task list` shows those that exist")


def _address(name: str, value: str) -> Address:
    """An EIP-55 address; lower case is accepted, a wrong checksum is not. Raises Usage."""
    try:
        checksummed = to_checksum_address(value)
    except (ValueError, TypeError) as error:
        raise Usage(f"{name}: expected an address of 20 bytes in hex, found {str(value)[:60]!r}") from error
    if is_checksum_formatted_address(value) and value != checksummed:
        raise Usage(f"{name}: {value} has a wrong checksum; copy the address again")
    return Address(checksummed)
