"""The whole ledger, verified: every block from genesis, or from where the last verification ended (P-70, P-71).

Needs an RPC endpoint; and an IPFS node to look at the models too. The log is replayed in order (core/replay.py), and
what follows from it is held against what the contracts store and against the miners' signatures. A model that nobody
serves is no fault of the ledger: it is told apart, and looked for again the next time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from dlbc.core import ledger_memory
from dlbc.core.errors import BadInput, TryLater, VerificationFailed
from dlbc.core.ledger_memory import REORGANISED_BLOCKS, Checkpoint, Depth, Memory, Verified
from dlbc.core.ledger_state import LedgerState
from dlbc.core.proofs import score_claim_digest
from dlbc.core.replay import HASH, SUM, Replay, Settled
from dlbc.core.report import Check, shown
from dlbc.core.types import ZERO_HASH, Hash32, TaskId, Timestamp, Winner
from dlbc.ports import LedgerLog, Progress, RecoverSigner, silent
from dlbc.roles.artifacts import write_atomically
from dlbc.roles.ledger_models import Looked, ModelLook

BATCH = 100
"""Blocks whose stored facts are asked for at once."""
KEPT_EVERY = 500
"""Blocks, or half of those before if they are more: what is verified is saved, for the case that the run is ended."""
SAVED_EVERY = 20
"""Models: what was looked at is remembered this often."""
MAX_FILE_BYTES = 2**30
RECORD = "winning record"
TIME = "time"
SIGNATURE = "signature"
COUNT = "number of blocks"
HEAD = "head of the ledger"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is notable about one block."""

    height: int
    task_id: TaskId
    round: int
    failed: tuple[Check, ...] = ()
    missing: str = ""  # what nobody serves, or confirms, now


@dataclass(slots=True)
class LedgerReport:
    """The outcome. It holds iff nothing failed; what is not served fails nothing."""

    blocks: int = 0  # of the ledger
    before: int = 0  # of them verified by earlier runs
    done: Counter[str] = field(default_factory=Counter)  # checks of this run, by name
    wrong: list[Finding] = field(default_factory=list)
    elsewhere: list[Check] = field(default_factory=list)  # failed, of no block
    unconfirmed: list[Finding] = field(default_factory=list)
    """Signatures that nobody confirms any more, `missing` says why; the chain asked when they were revealed."""
    missing: list[Finding] = field(default_factory=list)
    models: int = 0  # looked at in this run
    depths: Counter[Depth] = field(default_factory=Counter)  # of all blocks, after this run
    notes: list[str] = field(default_factory=list)  # about the memory of earlier runs

    @property
    def holds(self) -> bool:
        """Nothing failed."""
        return not self.wrong and not self.elsewhere

    @property
    def failed(self) -> Counter[str]:
        """Failed checks by name."""
        checks = [check for finding in self.wrong for check in finding.failed]
        return Counter(check.name for check in (*checks, *self.elsewhere))


@dataclass(slots=True)
class LedgerVerifier:
    """Verifies one market's ledger."""

    log: LedgerLog
    recover_signer: RecoverSigner
    look: ModelLook | None = None
    file: Path | None = None
    """Where the memory of earlier runs is; None: there is none."""
    progress: Progress = silent
    _report: LedgerReport = field(default_factory=LedgerReport)

    def verify(self, depth: Depth = Depth.CHAIN, *, from_genesis: bool = False) -> LedgerReport:
        """All blocks that no earlier run has verified so far. Raises TryLater when the chain changed meanwhile."""
        report = self._report = LedgerReport()
        memory = self._remembered(from_genesis)
        report.before = len(memory.blocks)
        self._verify_chain(memory)
        report.blocks = len(memory.blocks)
        if report.holds:
            self._save(memory)
            if depth > Depth.CHAIN:
                self._verify_models(memory, depth)
        report.depths = Counter(block.depth for block in memory.blocks)
        return report

    # ------------------------------------------------------------------ the chain

    def _verify_chain(self, memory: Memory) -> None:
        log, head, (tip, tip_hash) = self.log, self.log.head(), self.log.tip()
        last = memory.checkpoints[-1] if memory.checkpoints else None
        state = LedgerState(memory.genesis) if last is None else deepcopy(last.state)
        replay = Replay(log.chain_id, log.market, log.params(), state)
        at = log.first_block - 1 if last is None else last.block_number
        kept = len(memory.blocks)
        for end in _stops(at, tip):
            for batch, whole in _batches(replay, log, at + 1, end):
                self._check(batch, memory)
                self.progress("ledger blocks verified", state.height, max(head[0], state.height))
                if len(memory.blocks) - kept >= max(KEPT_EVERY, kept // 2):
                    self._keep(memory, replay, whole, tip, tip_hash)
                    kept = len(memory.blocks)
            at, digest = end, tip_hash if end == tip else log.hash_of(end)
            if digest is not None:
                memory.keep(Checkpoint(end, digest, deepcopy(state)))
        self._report.done += replay.done
        self._report.elsewhere += replay.stray
        self._check_head(head, memory, state)
        self._insist_on(tip, tip_hash)

    def _keep(self, memory: Memory, replay: Replay, number: int, tip: int, tip_hash: Hash32) -> None:
        """What holds up to a block of the chain is saved, for the case that this run is ended."""
        if self.file is None or not self._report.holds or replay.stray:
            return
        digest = self.log.hash_of(number)
        self._insist_on(tip, tip_hash)
        if digest is not None:
            memory.keep(Checkpoint(number, digest, deepcopy(replay.state)))
            self._save(memory)

    def _insist_on(self, tip: int, tip_hash: Hash32) -> None:
        """All that was read since is of one chain. Raises TryLater."""
        if self.log.hash_of(tip) != tip_hash:
            raise TryLater("the chain was reorganised while its log was read; verify the ledger again")

    def _check(self, batch: list[Settled], memory: Memory) -> None:
        """What the contracts store of these blocks, when the chain made them, and who signed."""
        log, count = self.log, self.log.head()[0]
        heights = [settled.header.height for settled in batch if settled.header.height < count]
        stored = dict(zip(heights, log.block_hashes(heights), strict=True))
        winners = log.winners([(settled.header.task_id, settled.header.round) for settled in batch])
        times = log.block_times({settled.block_number for settled in batch})
        for settled, winner in zip(batch, winners, strict=True):
            failed = list(settled.failed)
            header = settled.header
            self._equal(failed, HASH, stored.get(header.height, ZERO_HASH), settled.hash)
            self._equal(failed, RECORD, _facts(_claimed(settled)), _facts(winner))
            self._equal(failed, TIME, times.get(settled.block_number, Timestamp(0)), header.timestamp)
            self._check_signature(failed, settled)
            memory.blocks.append(Verified(settled.hash, header.task_id, header.round))
            if failed:
                self._report.wrong.append(Finding(header.height, header.task_id, header.round, tuple(failed)))

    def _check_signature(self, failed: list[Check], settled: Settled) -> None:
        """By the miner's key; else by its own word, if it is a contract (ERC-1271), which may have changed since.

        It may even be gone: code of an account can be taken back (EIP-7702, or a contract that ends itself). The chain
        asked when it took the claim; by taking its word back nobody must break the ledger for everybody.
        """
        self._report.done[SIGNATURE] += 1
        header, claim, digest = settled.header, settled.claim, settled.digest
        if claim is None or digest is None:
            failed.append(Check(SIGNATURE, False, f"the revealed claim of {header.miner}", "none in the log"))
            return
        signed = score_claim_digest(digest, claim.claim, self.log.chain_id, self.log.market)
        found = "no signature of a key"
        with suppress(VerificationFailed):  # not 65 bytes of a key, but perhaps something that a contract knows
            found = self.recover_signer(signed, claim.signature)
        if found == claim.proof.miner:
            return
        answer = self.log.confirms(claim)
        if answer:
            return
        why = f"not signed by the key of {claim.proof.miner} ({found}), "
        why += "and there is no contract now" if answer is None else "and its contract does not confirm it now"
        self._report.unconfirmed.append(Finding(header.height, header.task_id, header.round, missing=why))

    def _check_head(self, head: tuple[int, Hash32, int], memory: Memory, state: LedgerState) -> None:
        """`head` was read before the log, which may have grown since: all that it tells must be there."""
        failed = self._report.elsewhere
        count, head_hash, cumulative = head
        known = len(memory.blocks)
        self._equal(failed, COUNT, f"at least {count}", f"at least {min(count, known)}")
        if known < count:
            return
        self._equal(failed, HEAD, head_hash, memory.blocks[count - 1].hash if count else memory.genesis)
        if known == count:
            self._equal(failed, SUM, cumulative, state.difficulty)

    def _equal(self, failed: list[Check], name: str, expected: object, found: object) -> None:
        self._report.done[name] += 1
        if expected != found:
            failed.append(Check(name, False, shown(expected), shown(found)))

    # ------------------------------------------------------------------ the models

    def _verify_models(self, memory: Memory, depth: Depth) -> None:
        assert self.look is not None
        report = self._report
        waiting = [(height, block) for height, block in enumerate(memory.blocks) if block.depth < depth]
        try:
            for number, (height, block) in enumerate(waiting):
                self.progress(f"models looked at ({depth.label})", number, len(waiting))
                found = self.look.look(block.task_id, block.round, depth)
                self._note(height, block, found)
                if number % SAVED_EVERY == SAVED_EVERY - 1:
                    self._save(memory)
            self.progress(f"models looked at ({depth.label})", len(waiting), len(waiting))
        finally:
            self._save(memory)
        report.models = len(waiting)

    def _note(self, height: int, block: Verified, found: Looked) -> None:
        block.depth = max(block.depth, found.depth)
        finding = Finding(height, block.task_id, block.round, found.failed, found.missing)
        if found.failed:
            self._report.wrong.append(finding)
        elif found.missing:
            self._report.missing.append(finding)

    # ------------------------------------------------------------------ memory

    def _remembered(self, from_genesis: bool) -> Memory:
        """What still holds of earlier runs."""
        log = self.log
        fresh = Memory(log.chain_id, log.market, log.genesis_hash())
        if self.file is None or from_genesis or not self.file.exists():
            return fresh
        try:
            memory = ledger_memory.from_bytes(_read(self.file), fresh.chain_id, fresh.market, fresh.genesis)
        except BadInput as error:
            self._report.notes.append(f"{self.file} is not used, and the ledger is verified from genesis: {error}")
            return fresh
        known = len(memory.blocks)
        memory.roll_back(log.hash_of)
        if len(memory.blocks) < known:
            gone = f"the chain was reorganised since the last run: blocks from height {len(memory.blocks)} are verified"
            self._report.notes.append(f"{gone} again")
        height = len(memory.blocks)
        if height and (log.head()[0] < height or log.block_hashes([height - 1]) != [memory.blocks[-1].hash]):
            self._report.notes.append(f"another block {height - 1} is stored than before: all are verified again")
            return fresh
        return memory

    def _save(self, memory: Memory) -> None:
        if self.file is None:
            return
        try:
            write_atomically(self.file, [ledger_memory.to_bytes(memory)])
        except OSError as error:
            self._report.notes.append(f"{self.file} can't be written ({error.strerror}): the next run starts over")
            self.file = None


def _stops(at: int, tip: int) -> list[int]:
    """Where checkpoints are taken: the tip, and one that a reorganisation leaves alone."""
    return [end for end in (tip - REORGANISED_BLOCKS, tip) if end > at]


def _batches(replay: Replay, log: LedgerLog, first: int, last: int) -> Iterator[tuple[list[Settled], int]]:
    """The ledger blocks of these blocks of the chain, about BATCH at a time, and the last block they are whole to."""
    batch: list[Settled] = []
    at = first
    for logged in log.events(first, last):
        if len(batch) >= BATCH and logged.block_number > at:
            yield batch, logged.block_number - 1
            batch = []
        at = logged.block_number
        settled = replay.take(logged.event, at)
        if settled is not None:
            batch.append(settled)
    if batch:
        yield batch, last


def _claimed(settled: Settled) -> Winner:
    """What the registry should store of the winner."""
    header, proof = settled.header, None if settled.claim is None else settled.claim.proof
    return Winner(
        miner=header.miner,
        total=header.total,
        height=header.height,
        model_hash=header.model_hash,
        proof_digest=header.proof_digest,
        watermark_root=ZERO_HASH if proof is None else proof.watermark_root,
        parent_model=ZERO_HASH if proof is None else proof.parent_model,
    )


def _facts(winner: Winner) -> str:
    """In words, to be compared and shown."""
    return (
        f"{winner.miner}, total {winner.total}, height {winner.height}, model {winner.model_hash.hex()}, proof "
        f"{winner.proof_digest.hex()}, watermark {winner.watermark_root.hex()}, parent {winner.parent_model.hex()}"
    )


def _read(file: Path) -> bytes:
    """Raises BadInput for what can't be read, or is too much."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"it can't be read ({error.strerror})") from error
    if len(data) > MAX_FILE_BYTES:
        raise BadInput(f"it is larger than {MAX_FILE_BYTES} bytes")
    return data
