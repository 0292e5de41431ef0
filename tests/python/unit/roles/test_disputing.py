"""Who may object to what, when, on which grounds, and with which evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from disputed import ETHER, cast, opened_lie, vote
from dlbc.core import canonical
from dlbc.core.errors import BadInput, NotFound, Refused, StorageUnreachable, Unavailable, VerificationFailed
from dlbc.core.grounds import GROUND_OF_CHECK, grounds_of
from dlbc.core.report import Check
from dlbc.core.types import ZERO_ADDRESS, Ground, Phase, Ruling, TaskId, Verdict
from dlbc.roles.auditor import Auditor
from dlbc.roles.disputing import Disputer
from dlbc.roles.evidence import Evidence, evidence_from_bytes, evidence_to_bytes, fetch_evidence
from fakes.keys import account
from fakes.storage import MemoryStorage
from fakes.world import World

pytestmark = pytest.mark.unit


def only_filing(world: World, task_id: TaskId) -> Any:
    """The one thing that was filed."""
    (filing,) = world.pool.filings(task_id)
    return filing


def revealing(world: World) -> TaskId:
    """A task whose test set was just released."""
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.market.move_to_end_of_phase(task_id)
    world.requester().release(task_id)
    return task_id


def test_dispute__failed_audit__files_its_grounds_with_evidence_anybody_can_read(tmp_path: Path) -> None:
    """Grounds come from the failed checks; the bundle names the case and how to see it again."""
    world, task_id = opened_lie(tmp_path)
    outcome = world.disputer("disputer").dispute(task_id)
    filing = only_filing(world, task_id)
    assert (filing.grounds, filing.filer) == (Ground.SCORE | Ground.SAMPLES, account("disputer").address)
    assert len(filing.samples) == 8
    assert (outcome.wei, len(outcome.receipts)) == (ETHER // 10, 1)
    found = fetch_evidence(MemoryStorage(world.network), filing, 31337, world.market.address)
    assert [check.name for check in found.checks if not check.ok] == ["score recomputed", "decisive samples"]
    assert (found.reproduce, found.subject) == (f"dlbc audit {task_id} --round 0", account("liar").address)


def test_dispute__same_command_again__sends_nothing(tmp_path: Path) -> None:
    """One bond an account and case."""
    world, task_id = opened_lie(tmp_path)
    world.disputer("disputer").dispute(task_id)
    assert world.disputer("disputer").dispute(task_id).receipts == ()
    assert len(world.pool.filings(task_id)) == 1


def test_dispute__named_grounds_and_samples__are_added(tmp_path: Path) -> None:
    """What the audit can't see may be named; samples bring their ground with them."""
    world, task_id = opened_lie(tmp_path)
    attachment = tmp_path / "logits.bin"
    attachment.write_bytes(b"\x00\xff" * 100)
    world.disputer("disputer").dispute(task_id, Ground.COPIED, (3, 5), attachment)
    filing = only_filing(world, task_id)
    assert filing.grounds == Ground.SCORE | Ground.COPIED | Ground.SAMPLES
    assert filing.samples == (3, 5)
    found = fetch_evidence(MemoryStorage(world.network), filing, 31337, world.market.address)
    assert world.network[found.attachments[0].locator] == attachment.read_bytes()


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [((40,), "expected 0 to 39, found 40"), ((1, 1), "named once"), (tuple(range(9)), "at most 8, found 9")],
)
def test_dispute__impossible_samples__refused_before_anything_is_sent(
    tmp_path: Path, samples: tuple[int, ...], sentence: str
) -> None:
    """Out of range, twice, or too many."""
    world, task_id = opened_lie(tmp_path)
    with pytest.raises(BadInput, match=sentence):
        world.disputer("disputer").dispute(task_id, samples=samples)
    assert world.pool.filings(task_id) == []


def test_dispute__samples_ground_without_samples__asks_which(tmp_path: Path) -> None:
    """A vote on samples needs to know them; the audit of an honest claim names none."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    with pytest.raises(BadInput, match="say which with --sample"):
        world.disputer("disputer").dispute(task_id, Ground.SAMPLES)


def test_dispute__attachment_missing_or_too_large__refused(tmp_path: Path) -> None:
    """Nothing is filed with half of its evidence."""
    world, task_id = opened_lie(tmp_path)
    with pytest.raises(NotFound, match="does not exist"):
        world.disputer("disputer").dispute(task_id, attachment=tmp_path / "none")
    large = tmp_path / "large"
    large.write_bytes(bytes(4 * 2**20 + 1))
    with pytest.raises(BadInput, match="at most 4194304 bytes"):
        world.disputer("disputer").dispute(task_id, attachment=large)
    assert world.pool.filings(task_id) == []


def test_dispute__honest_claim__needs_a_named_ground(tmp_path: Path) -> None:
    """An audit that passes gives no ground; who knows better names one."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    with pytest.raises(Refused, match="gives no ground for a dispute"):
        world.disputer("disputer").dispute(task_id)
    world.disputer("disputer").dispute(task_id, Ground.COPIED)
    assert only_filing(world, task_id).grounds == Ground.COPIED


def test_dispute__outside_the_challenge_or_without_the_bond__refused(tmp_path: Path) -> None:
    """The sentence names the phase, or both amounts."""
    world = World(tmp_path)
    with pytest.raises(Refused, match="task 1 is in Training: a claim can be disputed only during Challenge"):
        world.disputer("disputer").dispute(world.post())
    other, task_id = opened_lie(tmp_path / "other")
    disputer = other.disputer("disputer")
    other.market.balances[account("disputer").address] = 5
    with pytest.raises(Refused, match=r"the bond is 0\.1 ether, .* holds 5 wei"):
        disputer.dispute(task_id)


def test_dispute__ipfs_loses_the_model__is_unavailable_and_nothing_more(tmp_path: Path) -> None:
    """Checks that could not run for lack of the model are no grounds of their own."""
    world, task_id = opened_lie(tmp_path)
    claims = {event.proof.miner: event for event in world.onlooker.reveals(task_id, 0)}
    del world.network[claims[account("liar").address].proof.sealed_model]
    world.disputer("disputer").dispute(task_id)
    assert only_filing(world, task_id).grounds == Ground.UNAVAILABLE


def test_grounds__every_check_of_an_audit_that_a_vote_decides__has_one(tmp_path: Path) -> None:
    """The table names checks that exist."""
    world, task_id = opened_lie(tmp_path)
    names = {check.name for check in world.auditor().audit(task_id).checks}
    assert set(GROUND_OF_CHECK) <= names
    assert grounds_of([Check("difficulty", False, "", "")]) == Ground(0)


# ------------------------------------------------------------------ impeachment


def test_impeach__test_set_is_lost__upheld_and_the_task_is_aborted(tmp_path: Path) -> None:
    """Everybody gets its own back, and half of the requester's bond is shared out."""
    world = World(tmp_path)
    world.staked("one")
    task_id = revealing(world)
    released = world.onlooker.released(task_id, 0)
    assert released is not None
    del world.network[released.test_set.sealed_locator]
    world.disputer("disputer").impeach(task_id)
    assert world.disputer("disputer").impeach(task_id).receipts == ()
    world.market.now = world.onlooker.round(task_id, 0).reveal_end
    cast(world, task_id, one=Verdict.UNAVAILABLE)
    assert world.market.phase(task_id).phase is Phase.ABORTED
    for name in ("one", "disputer"):
        assert vote(world, task_id, name, Verdict.FALLS).is_done
    world.play(task_id, world.miner())
    balances = world.market.balances
    assert balances[account("disputer").address] == 10_000 * ETHER
    assert balances[account("miner").address] == 10_000 * ETHER + ETHER // 20
    assert world.pool.case(only_filing(world, task_id).case_id).ruling is Ruling.FALLS


def test_impeach__right_test_set__needs_force_and_costs_the_bond(tmp_path: Path) -> None:
    """This client finds nothing wrong, the auditors agree, and half of the bond is the requester's."""
    world = World(tmp_path)
    world.staked("one")
    task_id = revealing(world)
    with pytest.raises(Refused, match="add --force"):
        world.disputer("disputer").impeach(task_id)
    world.disputer("disputer").impeach(task_id, although_right=True)
    miner, requester = world.miner(), world.requester()
    miner.tick()
    world.market.now = world.onlooker.round(task_id, 0).reveal_end
    cast(world, task_id, one=Verdict.STANDS)
    world.play(task_id, miner, requester=requester)
    assert world.onlooker.winner(task_id, 0).miner == account("miner").address
    assert world.market.balances[account("requester").address] == 10_000 * ETHER - ETHER + ETHER // 20


def test_impeach__before_the_release__refused(tmp_path: Path) -> None:
    """There is nothing to look at yet."""
    world = World(tmp_path)
    with pytest.raises(Refused, match="only during Revealing"):
        world.disputer("disputer").impeach(world.post())
    with pytest.raises(Refused, match="its test set is not released"):
        world.auditor().audit_test_set(TaskId(1))


# ------------------------------------------------------------------ evidence of strangers

EVIDENCE = Evidence(
    chain_id=31337,
    market=account("market").address,
    task_id=TaskId(1),
    round=0,
    subject=ZERO_ADDRESS,
    grounds=Ground.SCORE | Ground.SAMPLES,
    samples=(1, 2),
    checks=(Check("score recomputed", False, "40 of 40", "31 of 40"),),
    reproduce="dlbc audit 1 --round 0",
)


def test_evidence__written_and_read__is_the_same() -> None:
    """The bundle is canonical and loses nothing that fits."""
    assert evidence_from_bytes(evidence_to_bytes(EVIDENCE)) == EVIDENCE


def test_evidence__too_long_or_unspeakable_texts__are_cut_to_what_a_reader_accepts() -> None:
    """What was found in a hostile file goes into evidence, but never makes the evidence unreadable."""
    hostile = Check("x" * 10_000, False, "\ud800 half a pair", "\x1b[2J" * 1000)
    found = evidence_from_bytes(evidence_to_bytes(replace(EVIDENCE, checks=(hostile,) * 200)))
    assert len(found.checks) == 100
    assert {len(found.checks[0].name), len(found.checks[0].found)} == {500}


def changed(**entries: object) -> bytes:
    """The bundle with other entries."""
    value = canonical.from_bytes(evidence_to_bytes(EVIDENCE), what="test", max_bytes=10**6)
    return canonical.to_bytes(value | entries)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"[" * 100_000, "nested at most 8 deep"),
        (b'{"a":' * 50_000, "nested at most 8 deep"),
        (b"{" + b" " * 300_000 + b"}", "at most 262144 bytes"),
        (b"\xff\xfe", "expected UTF-8"),
        (b"{}", "expected the entry"),
        (b'{"dlbc_evidence":NaN}', "NaN"),
        (changed(dlbc_evidence=2), "expected a whole number from 1 to 1"),
        (changed(samples=list(range(9))), "expected 0 to 8 entries"),
        (changed(grounds=128), "from 0 to 127"),
        (changed(subject="0x12"), "expected an address"),
        (changed(checks=[{"name": "x"}]), "expected the entry"),
        (changed(checks=[{}] * 101), "expected 0 to 100 entries"),
        (changed(reproduce="x" * 501), "at most 500 letters"),
        (changed(reproduce=7), "expected a text"),
        (changed(more=1), "found also 'more'"),
        (changed(attachments=[{"locator": "00", "sha256": "00", "size_bytes": 1}]), "64 lower-case hex digits"),
    ],
)
def test_evidence__hostile_bytes__refused_with_a_sentence(data: bytes, sentence: str) -> None:
    """Deep, large, malformed, or with entries that nobody asked for."""
    with pytest.raises(BadInput, match=sentence):
        evidence_from_bytes(data)


def test_evidence__of_another_case__is_not_believed(tmp_path: Path) -> None:
    """Evidence that was filed elsewhere, is lost, or is too large to fetch, is told apart."""
    world, task_id = opened_lie(tmp_path)
    world.disputer("disputer").dispute(task_id)
    filing, storage = only_filing(world, task_id), MemoryStorage(world.network)
    with pytest.raises(VerificationFailed, match="expected task 2"):
        fetch_evidence(storage, replace(filing, task_id=TaskId(2)), 31337, world.market.address)
    world.network[filing.evidence] = b"x" * (256 * 1024 + 1)
    with pytest.raises(VerificationFailed, match="more than"):
        fetch_evidence(storage, filing, 31337, world.market.address)
    world.network[filing.evidence] = b"{}"
    with pytest.raises(VerificationFailed, match="hash to"):
        fetch_evidence(storage, filing, 31337, world.market.address)
    del world.network[filing.evidence]
    with pytest.raises(Unavailable):
        fetch_evidence(storage, filing, 31337, world.market.address)


def test_dispute__filed_while_ipfs_is_down__sends_no_bond(tmp_path: Path) -> None:
    """Evidence that nobody can read is filed by nobody: the audit says try later first."""
    world, task_id = opened_lie(tmp_path)
    storage = MemoryStorage(world.network)
    storage.is_down = True
    whole = world.disputer("disputer")
    auditor = Auditor(whole.chain, storage, whole.auditor.trainer, whole.auditor.recover_signer)
    with pytest.raises(StorageUnreachable):
        Disputer(whole.chain, whole.pool, storage, auditor).dispute(task_id)
    assert world.pool.filings(task_id) == []
