"""The whole ledger on a market in memory: an honest one holds, every lie of a node fails the check made for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from disputed import opened_lie
from dlbc.adapters.signatures import recover_signer
from dlbc.core import proofs, replay
from dlbc.core.cid import to_cid
from dlbc.core.errors import LimitReached, TryLater
from dlbc.core.events import (
    BlockAppended,
    ClaimRevealed,
    ClaimStruck,
    LedgerEvent,
    ModelCommitted,
    ModelOpened,
    RoundSettled,
    TaskPosted,
    TestSetReleased,
)
from dlbc.core.hashing import keccak
from dlbc.core.ledger_memory import Depth
from dlbc.core.types import Address, BlockHeader, Locator, Reason, TaskId
from dlbc.roles import ledger
from dlbc.roles.ledger import LedgerReport, LedgerVerifier
from dlbc.roles.ledger_models import ModelLook
from fakes.chain import CHAIN_ID, MARKET, FakeChain
from fakes.keys import account
from fakes.ledger_log import FakeLedgerLog
from fakes.storage import MemoryStorage
from fakes.trainer import FakeTrainer
from fakes.world import World

pytestmark = pytest.mark.unit

OTHER = keccak(b"another")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two settled tasks; in each an honest miner won against a weaker one."""
    world = World(tmp_path)
    for _ in range(2):
        settle(world)
    return world


def settle(world: World, winner: str = "miner") -> TaskId:
    """One more block."""
    requester = world.requester()
    task_id = requester.post(requester.prepare(world.task_file, world.folder))[0]
    world.play(task_id, world.miner(winner), world.miner("weaker", noise=20.0))
    requester.forget(requester.prepare(world.task_file, world.folder))
    return task_id


def verifier(world: World, log: FakeLedgerLog | None = None, file: Path | None = None) -> LedgerVerifier:
    """What `dlbc ledger verify` makes."""
    return LedgerVerifier(log or FakeLedgerLog(world.market), recover_signer, ModelLook(world.auditor()), file)


def failing(report: LedgerReport) -> set[str]:
    """Names of the checks that fail."""
    return set(report.failed)


def header(event: LedgerEvent, **changes: Any) -> LedgerEvent | None:
    """A node's own idea of block 1."""
    if not isinstance(event, BlockAppended) or event.height != 1:
        return event
    return replace(event, header=replace(event.header, **changes))


def of(kind: type, change: Callable[[Any], LedgerEvent | None]) -> Callable[[LedgerEvent], LedgerEvent | None]:
    """Changes every event of a kind."""
    return lambda event: change(event) if isinstance(event, kind) else event


LIES: dict[str, tuple[Callable[[LedgerEvent], LedgerEvent | None], set[str]]] = {
    "header": (lambda event: header(event, total=1), {replay.HEADER, replay.HASH}),
    "link": (lambda event: header(event, previous_hash=OTHER), {replay.LINKS, replay.HASH}),
    "height": (lambda event: header(event, height=7), {replay.LINKS, replay.HASH}),
    "sum": (lambda event: header(event, cumulative_difficulty=1), {replay.SUM, replay.HASH}),
    "time": (lambda event: header(event, timestamp=1), {ledger.TIME, replay.HASH}),
    "open tasks": (lambda event: header(event, open_tasks=9), {replay.HEADER, replay.HASH}),
    "winner": (lambda event: header(event, miner=account("weaker").address), {replay.HEADER, ledger.RECORD}),
    "hidden block": (of(BlockAppended, lambda event: None), {ledger.COUNT}),
    "hash": (of(BlockAppended, lambda event: replace(event, block_hash=OTHER)), {replay.HASH}),
    "bounty": (
        of(TaskPosted, lambda event: replace(event, terms=replace(event.terms, bounty_wei=1))),
        {replay.TERMS, replay.PAYOUT},
    ),
    "difficulty": (of(TaskPosted, lambda event: replace(event, difficulty=1)), {replay.DIFFICULTY, replay.HEADER}),
    "test commitment": (
        of(TaskPosted, lambda event: replace(event, test_commitments=(OTHER,))),
        {replay.TERMS, replay.TEST_SET},
    ),
    "test set": (
        of(TestSetReleased, lambda event: replace(event, test_set=replace(event.test_set, samples=1))),
        {replay.TEST_SET, replay.ROOT},
    ),
    "test key": (of(TestSetReleased, lambda event: replace(event, test_key=OTHER)), {replay.TEST_SET}),
    "hidden commit": (
        of(ModelCommitted, lambda event: None if event.miner == account("weaker").address else event),
        {replay.LOG, replay.ORDER},
    ),
    "commitment": (of(ModelCommitted, lambda event: replace(event, commitment=OTHER)), {replay.COMMITMENT}),
    "salt": (of(ClaimRevealed, lambda event: replace(event, salt=OTHER)), {replay.COMMITMENT}),
    "top hash": (of(ClaimRevealed, lambda event: replace(event, h_top=OTHER)), {replay.ROOT}),
    "qualifies": (
        of(ClaimRevealed, lambda event: replace(event, qualifies=not event.qualifies)),
        {replay.QUALIFIES},
    ),
    "model": (
        of(ClaimRevealed, lambda event: replace(event, proof=replace(event.proof, model_hash=OTHER))),
        {replay.COMMITMENT, replay.HEADER},
    ),
    "sealing key": (of(ModelOpened, lambda event: replace(event, seal_key=OTHER)), {replay.OPENING}),
    "slot key": (of(ModelOpened, lambda event: replace(event, slot_key=OTHER)), {replay.OPENING}),
    "hidden opening": (of(ModelOpened, lambda event: None), {replay.ORDER}),
    "payout": (of(RoundSettled, lambda event: replace(event, paid_wei=event.paid_wei + 1)), {replay.PAYOUT}),
    "hidden settlement": (of(RoundSettled, lambda event: None), {replay.HEADER, ledger.SIGNATURE}),
    "hidden posting": (of(TaskPosted, lambda event: None if event.task_id == 2 else event), {replay.LOG}),
}
"""What a node may tell instead of the truth, and the checks that must fail."""


def unsigned(event: LedgerEvent) -> LedgerEvent:
    """No claim has a signature of a key."""
    return replace(event, signature=bytes(65)) if isinstance(event, ClaimRevealed) else event


def signed_by_another(event: LedgerEvent) -> LedgerEvent:
    """Every claim has somebody else's."""
    if not isinstance(event, ClaimRevealed):
        return event
    digest = proofs.proof_digest(event.proof, CHAIN_ID, MARKET)
    typed = proofs.score_claim_typed_data(digest, event.claim, CHAIN_ID, MARKET)
    return replace(event, signature=account("weaker").sign_typed(typed))


def test_ledger__honest__holds_with_every_check_done(world: World) -> None:
    """Both blocks are verified, by all that the chain alone can tell."""
    report = verifier(world).verify()
    assert (report.holds, report.blocks, report.before, report.wrong) == (True, 2, 0, [])
    assert {
        *(replay.LOG, replay.ORDER, replay.TERMS, replay.DIFFICULTY, replay.TEST_SET, replay.COMMITMENT, replay.ROOT),
        *(replay.QUALIFIES, replay.BEST, replay.OPENING, replay.PAYOUT, replay.LINKS, replay.SUM, replay.HEADER),
        *(replay.HASH, ledger.RECORD, ledger.TIME, ledger.SIGNATURE, ledger.COUNT, ledger.HEAD),
    } == set(report.done)


def test_ledger__empty__holds(tmp_path: Path) -> None:
    """A market on which nothing has happened has a ledger too."""
    report = verifier(World(tmp_path)).verify()
    assert (report.holds, report.blocks) == (True, 0)


@pytest.mark.parametrize("lie", sorted(LIES))
def test_ledger__node_lies__fails_by_name(world: World, lie: str) -> None:
    """Nothing that a node tells is believed."""
    alter, expected = LIES[lie]
    report = verifier(world, FakeLedgerLog(world.market, alter)).verify()
    assert not report.holds
    assert expected <= failing(report)


def test_ledger__second_best_wins_in_a_log_that_agrees_with_itself__best_claim_fails(world: World) -> None:
    """Opening, settlement and block name the runner-up, with its own model and score."""
    weaker = account("weaker").address
    claims = {event.proof.task_id: event for event in world.market.revealed[1, 0] if event.proof.miner == weaker}

    def forge(event: LedgerEvent) -> LedgerEvent | None:
        if isinstance(event, ModelOpened | RoundSettled) and event.task_id == 1:
            return replace(event, miner=weaker)
        if isinstance(event, BlockAppended) and event.task_id == 1:
            return replace(event, header=_of_runner_up(event.header, claims[TaskId(1)], weaker))
        return event

    report = verifier(world, FakeLedgerLog(world.market, forge)).verify()
    assert replay.BEST in failing(report)
    assert 0 in {finding.height for finding in report.wrong}


def _of_runner_up(block: BlockHeader, claim: ClaimRevealed, miner: Address) -> BlockHeader:
    return replace(block, miner=miner, total=claim.claim.total, model_hash=claim.proof.model_hash)


def test_ledger__stored_winner_differs__winning_record_fails(world: World) -> None:
    """What the registry stores is held against what the log shows."""
    world.market.winners[1, 0] = replace(world.market.winners[1, 0], total=1)
    assert failing(verifier(world).verify()) == {ledger.RECORD}


def test_ledger__winner_after_a_strike__holds_and_an_invented_strike_does_not(tmp_path: Path) -> None:
    """The best nominated claim may win, but only after the leader's strike."""
    world, task_id = opened_lie(tmp_path)
    world.refuter("asker").demand(task_id, 0)
    world.play(task_id, world.miner("honest", noise=5.0))
    assert verifier(world).verify().holds

    def hide(event: LedgerEvent) -> LedgerEvent | None:
        return None if isinstance(event, ClaimStruck) else event

    assert replay.BEST in failing(verifier(world, FakeLedgerLog(world.market, hide)).verify())


def test_ledger__strike_of_nobody__order_fails(world: World) -> None:
    """A strike is of a claim that was revealed."""
    stranger = account("stranger").address

    def invent(event: LedgerEvent) -> LedgerEvent:
        if isinstance(event, ModelOpened) and event.task_id == 1:
            return ClaimStruck(event.task_id, event.round, stranger, Reason.SILENT)
        return event

    assert replay.ORDER in failing(verifier(world, FakeLedgerLog(world.market, invent)).verify())


def test_ledger__wallet_is_a_contract__its_word_counts_and_a_changed_mind_is_no_failure(world: World) -> None:
    """ERC-1271: the chain asked it once; what it says now is told, and can't spoil a settled block."""
    miner = account("miner").address
    assert verifier(world, FakeLedgerLog(world.market, unsigned, {miner: True})).verify().unconfirmed == []
    report = verifier(world, FakeLedgerLog(world.market, unsigned, {miner: False})).verify()
    assert (report.holds, len(report.unconfirmed)) == (True, 2)
    assert "its contract does not confirm it now" in report.unconfirmed[0].missing


@pytest.mark.parametrize("alter", [unsigned, signed_by_another])
def test_ledger__no_key_and_no_contract_any_more__is_told_and_breaks_the_ledger_for_nobody(
    world: World, alter: Callable[[LedgerEvent], LedgerEvent]
) -> None:
    """Code of an account can be taken back after a settlement (EIP-7702); the chain asked it when it took the claim."""
    report = verifier(world, FakeLedgerLog(world.market, alter)).verify()
    assert (report.holds, [each.height for each in report.unconfirmed]) == (True, [0, 1])
    assert "there is no contract now" in report.unconfirmed[0].missing
    assert account("miner").address in report.unconfirmed[0].missing


# ------------------------------------------------------------------ what is remembered


def test_ledger__verified_before__goes_on_after_it(world: World, tmp_path: Path) -> None:
    """The second run reads only what came since, with open tasks and owners as they were."""
    file, log = tmp_path / "ledger.json", FakeLedgerLog(world.market)
    assert verifier(world, log, file).verify().before == 0
    read_to = log.ranges[-1][1]
    settle(world)
    log.ranges.clear()
    report = verifier(world, log, file).verify()
    assert (report.holds, report.before, report.blocks) == (True, 2, 3)
    assert min(first for first, _ in log.ranges) == read_to + 1


def test_ledger__interrupted_in_the_middle_of_a_task__goes_on_in_the_same_state(world: World, tmp_path: Path) -> None:
    """A run may end between any two transactions of a task."""
    file, log = tmp_path / "ledger.json", FakeLedgerLog(world.market)
    whole = len(world.market.transactions)
    transactions = list(world.market.transactions)
    for end in range(1, whole + 1):
        world.market.transactions[:] = transactions[:end]
        blocks = [block for block in world.market.blocks if _settled_in(world, block) <= end]
        shown = replace_blocks(world, blocks)
        report = verifier(world, FakeLedgerLog(shown), file).verify()
        assert (report.holds, report.blocks) == (True, len(blocks))
    world.market.transactions[:] = transactions
    assert verifier(world, log, file).verify().before == 2


def _settled_in(world: World, block: BlockHeader) -> int:
    (number,) = (event.block_number for event in world.market.happened[block.task_id] if event.name == "RoundSettled")
    return number


def replace_blocks(world: World, blocks: list[BlockHeader]) -> Any:
    """The market when its ledger had only these; the log is cut by the number of transactions."""
    return replace(world.market, blocks=_Told(world.market.blocks, len(blocks)))


class _Told(list):  # type: ignore[type-arg]
    """All blocks for the log, which is cut elsewhere; as a ledger it has only the first."""

    def __init__(self, blocks: list[BlockHeader], count: int) -> None:
        super().__init__(blocks[:count])
        self._all = blocks

    def __iter__(self) -> Any:
        return iter(self._all)


class Ended(Exception):
    """What a power cut is to a test."""


def ended_after(count: int) -> Callable[[LedgerEvent], LedgerEvent]:
    """A node that tells so many events before the run that asks it is ended."""
    told = iter(range(count))

    def alter(event: LedgerEvent) -> LedgerEvent:
        if next(told, None) is None:
            raise Ended
        return event

    return alter


def test_ledger__run_is_ended__next_goes_on_where_it_kept(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever that happens: nothing that was kept is read again, and the whole ledger holds in the end."""
    monkeypatch.setattr(ledger, "BATCH", 1)
    monkeypatch.setattr(ledger, "KEPT_EVERY", 1)
    whole = len(list(FakeLedgerLog(world.market).events(1, 10**6)))
    befores = []
    for count in range(whole):
        file, log = tmp_path / f"{count}.json", FakeLedgerLog(world.market)
        with pytest.raises(Ended):
            verifier(world, FakeLedgerLog(world.market, ended_after(count)), file).verify()
        report = verifier(world, log, file).verify()
        assert (report.holds, report.blocks, report.notes) == (True, 2, [])
        assert (min(first for first, _ in log.ranges) > 1) == (report.before > 0)
        befores.append(report.before)
    assert befores == sorted(befores)
    assert set(befores) == {0, 1}


def test_ledger__wrong_after_what_was_kept__is_wrong_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what held before it is remembered."""
    monkeypatch.setattr(ledger, "BATCH", 1)
    monkeypatch.setattr(ledger, "KEPT_EVERY", 1)
    file, log = tmp_path / "ledger.json", FakeLedgerLog(world.market, LIES["sum"][0])
    assert not verifier(world, log, file).verify().holds
    report = verifier(world, log, file).verify()
    assert (report.holds, report.before) == (False, 1)
    assert LIES["sum"][1] <= failing(report)


def test_ledger__reorganised_before_it_is_kept__keeps_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of two chains is never saved as one."""
    monkeypatch.setattr(ledger, "BATCH", 1)
    monkeypatch.setattr(ledger, "KEPT_EVERY", 1)
    file, log = tmp_path / "ledger.json", FakeLedgerLog(world.market)
    end = len(world.market.transactions)

    def fork(event: LedgerEvent) -> LedgerEvent:
        log.forked_from = end
        return event

    log.alter = fork
    with pytest.raises(TryLater, match="reorganised"):
        verifier(world, log, file).verify()
    assert not file.exists()


def test_ledger__asked_for_all__starts_from_genesis(world: World, tmp_path: Path) -> None:
    """What was verified before is not believed if the user says so."""
    file = tmp_path / "ledger.json"
    verifier(world, file=file).verify()
    assert verifier(world, file=file).verify(from_genesis=True).before == 0


def test_ledger__reorganised_since__rolls_back_to_the_last_match_and_says_so(world: World, tmp_path: Path) -> None:
    """Blocks of the chain that are gone take what was verified in them along."""
    file, log = tmp_path / "ledger.json", FakeLedgerLog(world.market)
    verifier(world, log, file).verify()
    last = len(world.market.transactions)
    settle(world)
    verifier(world, log, file).verify()
    log.forked_from = last + 1
    report = verifier(world, log, file).verify()
    assert (report.holds, report.before, report.blocks) == (True, 2, 3)
    assert "reorganised" in report.notes[0]
    log.forked_from = 0
    assert verifier(world, log, file).verify().before == 0


def test_ledger__reorganised_while_it_is_read__comes_back_later(world: World) -> None:
    """Half of one chain and half of another is no finding."""
    log = FakeLedgerLog(world.market)

    def fork(event: LedgerEvent) -> LedgerEvent:
        log.forked_from = 0
        return event

    log.alter = fork
    with pytest.raises(TryLater, match="reorganised"):
        verifier(world, log).verify()


def test_ledger__wrong_once__is_wrong_again(world: World, tmp_path: Path) -> None:
    """A failure is not remembered as verified."""
    file, log = tmp_path / "ledger.json", FakeLedgerLog(world.market, LIES["sum"][0])
    assert not verifier(world, log, file).verify().holds
    assert not verifier(world, log, file).verify().holds
    assert not file.exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff not json", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"version": 99}', "another version"),
        (b'{"version": 1, "blocks": 3}', "expected the entries"),
    ],
)
def test_ledger__file_is_no_memory__is_one_sentence_and_all_is_verified(
    world: World, tmp_path: Path, content: bytes, why: str
) -> None:
    """A broken file costs time, nothing else."""
    file = tmp_path / "ledger.json"
    file.write_bytes(content)
    report = verifier(world, file=file).verify()
    assert (report.holds, report.before, len(report.notes)) == (True, 0, 1)
    assert why in report.notes[0]
    assert verifier(world, file=file).verify().before == 2


def test_ledger__file_of_another_ledger__is_not_used(world: World, tmp_path: Path) -> None:
    """It is bound to chain, market and genesis."""
    file = tmp_path / "ledger.json"
    verifier(world, file=file).verify()
    world.market.genesis = OTHER
    (note,) = verifier(world, file=file).verify().notes
    assert "another ledger" in note


def test_ledger__file_tells_another_block_than_the_chain__all_is_verified(world: World, tmp_path: Path) -> None:
    """The last verified block has to be the chain's."""
    file = tmp_path / "ledger.json"
    verifier(world, file=file).verify()
    memory = json.loads(file.read_text())
    memory["blocks"][-1]["hash"] = "0x" + OTHER.hex()
    file.write_text(json.dumps(memory))
    report = verifier(world, file=file).verify()
    assert (report.before, report.holds, "another block 1" in report.notes[0]) == (0, True, True)


def test_ledger__home_can_not_be_written__is_a_note(world: World, tmp_path: Path) -> None:
    """The verification counts all the same."""
    (tmp_path / "in the way").write_text("")
    report = verifier(world, file=tmp_path / "in the way" / "ledger.json").verify()
    assert (report.holds, "can't be written" in report.notes[0]) == (True, True)


# ------------------------------------------------------------------ models


def test_models__served__hold_and_are_not_looked_at_again(world: World, tmp_path: Path) -> None:
    """Bytes, digest, architecture and mark of every model are those of its block."""
    file = tmp_path / "ledger.json"
    report = verifier(world, file=file).verify(Depth.MODEL)
    assert (report.holds, report.models, report.depths) == (True, 2, {Depth.MODEL: 2})
    assert verifier(world, file=file).verify(Depth.MODEL).models == 0


def test_models__not_served__are_told_apart_and_looked_for_again(world: World, tmp_path: Path) -> None:
    """It is no failure of the ledger."""
    file = tmp_path / "ledger.json"
    claim = next(event for event in world.market.revealed[2, 0] if event.proof.miner == account("miner").address)
    lost = {claim.proof.sealed_model: world.network.pop(claim.proof.sealed_model)}
    report = verifier(world, file=file).verify(Depth.MODEL)
    assert (report.holds, [each.height for each in report.missing]) == (True, [1])
    assert to_cid(claim.proof.sealed_model) in report.missing[0].missing
    world.network.update(lost)
    again = verifier(world, file=file).verify(Depth.MODEL)
    assert (again.models, again.missing, again.depths) == (1, [], {Depth.MODEL: 2})


def test_models__mark_is_not_the_miners__is_wrong(world: World) -> None:
    """A model without its miner's mark does not hold."""
    (opening,) = world.market.opened[1, 0]
    other = bytes(32)
    world.market.opened[1, 0] = [replace(opening, slot_key=other)]
    report = verifier(world, FakeLedgerLog(world.market, _as_it_was(opening))).verify(Depth.MODEL)
    assert "watermark slot 0" in failing(report)
    assert [finding.height for finding in report.wrong] == [0]


def _as_it_was(opening: ModelOpened) -> Callable[[LedgerEvent], LedgerEvent]:
    return lambda event: opening if isinstance(event, ModelOpened) and event.task_id == opening.task_id else event


@pytest.mark.parametrize(("depth", "reached"), [(Depth.MODEL, Depth.CHAIN), (Depth.SCORE, Depth.MODEL)])
def test_models__too_much_for_this_machine__is_told_apart(
    world: World, monkeypatch: pytest.MonkeyPatch, depth: Depth, reached: Depth
) -> None:
    """A small machine proves nothing against a model."""

    def too_much(*arguments: Any, **more: Any) -> Any:
        raise LimitReached("scoring needs more memory than it may have")

    monkeypatch.setattr(FakeTrainer, "check_model" if depth is Depth.MODEL else "predict", too_much)
    report = verifier(world).verify(depth)
    assert (report.holds, report.depths) == (True, {reached: 2})
    assert [each.missing for each in report.missing] == ["scoring needs more memory than it may have"] * 2


def test_scores__test_set_not_served__is_told_apart(world: World, tmp_path: Path) -> None:
    """Models hold so far, and are scored once the test set is there."""
    file = tmp_path / "ledger.json"
    sealed = world.market.released[1, 0].test_set.sealed_locator
    lost = {sealed: world.network.pop(sealed)}
    report = verifier(world, file=file).verify(Depth.SCORE)
    assert (report.holds, [each.height for each in report.missing]) == (True, [0])
    assert report.depths == {Depth.SCORE: 1, Depth.MODEL: 1}
    world.network.update(lost)
    assert verifier(world, file=file).verify(Depth.SCORE).depths == {Depth.SCORE: 2}


class Forger(MemoryStorage):
    """Serves what a miner might have published instead: files that were hashed as they are."""

    def __init__(self, network: dict[Locator, bytes], forged: dict[Locator, bytes]) -> None:
        super().__init__(network)
        self.forged = forged

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        return self.forged.get(locator) or super().fetch(locator, max_bytes=max_bytes, timeout=timeout)


def test_scores__somebody_elses_original_not_served__excuses_nothing(world: World) -> None:
    """An audit asks for earlier originals, too; that one is gone does not make a wrong claim a missing one."""
    task_id = settle(world, "other")
    (claim,) = (event for event in world.market.revealed[task_id, 0] if event.proof.miner == account("other").address)
    first = next(event for event in world.market.revealed[1, 0] if event.proof.miner == account("miner").address)
    world.network.pop(first.proof.sealed_model)
    honest = world.network[claim.claim.predictions]
    storage = Forger(world.network, {claim.claim.predictions: honest[:12] + bytes([honest[12] ^ 1]) + honest[13:]})
    look = ModelLook(replace(world.auditor(), storage=storage)).look(task_id, 0, Depth.SCORE)
    assert "predictions root" in {check.name for check in look.failed}
    assert look.missing == ""


def test_scores__wallet_changed_its_mind__is_for_the_chain_to_tell(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A winner whose wallet says no today breaks its audit, not everybody's ledger."""
    monkeypatch.setattr(FakeChain, "verify_proof", lambda *_: False)
    log = FakeLedgerLog(world.market, unsigned, {account("miner").address: False})
    report = verifier(world, log).verify(Depth.SCORE)
    assert (report.holds, len(report.unconfirmed), report.depths) == (True, 2, {Depth.SCORE: 2})
