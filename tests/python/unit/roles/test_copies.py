"""What an audit finds of other miners' marks, and what it does not hold against anybody (P-53, P-92 to P-94)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.copying import Standing
from dlbc.core.errors import VerificationFailed
from dlbc.core.events import ModelOpened, SlotRevealed
from dlbc.core.grounds import grounds_of
from dlbc.core.hashing import keccak
from dlbc.core.types import Ground, Hash32, TaskId, Timestamp
from dlbc.roles.auditor import AuditReport
from fakes.chain import FakeChain
from fakes.copied import Change, CopyWorld, Weights, as_it_is, moved
from fakes.keys import account

pytestmark = pytest.mark.unit

CHECK = "no other miner's mark"


@pytest.fixture
def world(tmp_path: Path) -> CopyWorld:
    """Nothing has happened yet."""
    return CopyWorld(tmp_path)


def said(report: AuditReport) -> str:
    """What the audit found of others' marks, if nothing else failed."""
    assert {check.name for check in report.checks if not check.ok} <= {CHECK}
    (check,) = (check for check in report.checks if check.name == CHECK)
    return ("" if check.ok else "FAIL ") + check.found


def scrubbed_of(world: CopyWorld, task_id: TaskId) -> Change:
    """A thief's change: the opened slot's mark is taken out with its public key, then units are moved."""

    def change(weights: Weights, architecture: Architecture) -> Weights:
        model = world.models().settled(task_id)
        payload = watermark.payload(31337, world.market.address, task_id, 0, model.miner, 0)
        read = watermark.detect(weights, model.opening.slot_key, 0, payload)
        bands = watermark.bands(watermark.shapes_of(weights), 0)
        count = sum(band.carriers for band in bands)
        bits = np.resize(watermark.payload_bits(payload, read.n), count)
        signs, start = watermark.chips(model.opening.slot_key, count) * bits, 0
        for band in bands:
            view = weights[band.name].reshape(len(weights[band.name]), -1)[band.first : band.end, 1::2]
            mine = signs[start : start + view.size].reshape(view.shape)
            scale = np.median(np.abs(view))
            view -= (np.clip(view / scale, -6, 6) * mine).mean() * scale * mine
            start += view.size
        assert watermark.detect(weights, model.opening.slot_key, 0, payload).strength < 8
        return moved(weights, architecture)

    return change


# ------------------------------------------------------------------ copies


def test_audit__copy_as_it_is__is_found_blind(world: CopyWorld) -> None:
    """The check names model, owner, slot, strength, the bound over all tests, and how it was read."""
    first = world.won()
    copy = world.opened_copy(first, change=as_it_is)
    report = world.auditor().audit(copy)
    found = said(report)
    assert found.startswith(f"FAIL slot 0 of model {world.hash_of(first).hex()} of {account('owner').address} (task 1")
    assert found.endswith("in 1 tests, blind")
    assert grounds_of(report.checks) == Ground.COPIED


def test_audit__units_moved__is_found_aligned_with_the_original(world: CopyWorld) -> None:
    """Exchanged and scaled units hide a mark from a blind look, and from nothing else (P-92)."""
    copy = world.opened_copy(world.won())
    assert said(world.auditor().audit(copy)).endswith("aligned with the original")
    assert said(world.auditor(align_limit=0).audit(copy)) == (
        "none in 1 tests of 1 models, 0 aligned, 1 not looked at aligned"
    )


def test_audit__time_is_over__says_what_it_did_not_look_at(world: CopyWorld) -> None:
    """The rest of the audit is told, instead of being lost with the search."""
    copy = world.opened_copy(world.won())
    report = replace(world.auditor(), is_late=lambda: True).audit(copy)
    assert said(report) == "none in 1 tests of 1 models, 0 aligned, 1 not looked at aligned"


def test_audit__public_slot_scrubbed__is_found_once_the_owner_publishes_another(world: CopyWorld) -> None:
    """A fresh slot is what the thief could not remove (P-94); its owner's original is aligned with beyond any limit."""
    first = world.won()
    copy = world.opened_copy(first, change=scrubbed_of(world, first))
    assert said(world.auditor().audit(copy)) == "none in 2 tests of 1 models, 1 aligned"
    world.publish(first)
    found = said(world.auditor(align_limit=0).audit(copy))
    assert found.startswith("FAIL slot 1 of model")
    assert found.endswith("aligned with the original")


def test_audit__slot_published_before_the_commit__does_not_come_first(world: CopyWorld) -> None:
    """A burnt slot accuses nobody that came later, so its original counts for the limit like any other."""
    first = world.won()
    world.publish(first)
    copy = world.opened_copy(first)
    assert said(world.auditor(align_limit=0).audit(copy)).endswith("0 aligned, 1 not looked at aligned")
    assert said(world.auditor(align_limit=1).audit(copy)).startswith("FAIL slot")


# ------------------------------------------------------------------ no theft


def test_audit__declared_parent__is_no_theft(world: CopyWorld) -> None:
    """The royalty pays for it."""
    first = world.won()
    heir = world.opened_copy(first, name="heir", parent=first)
    world.publish(first)
    assert said(world.auditor().audit(heir)) == "none in 0 tests of 0 models, 0 aligned"


def test_audit__parent_of_the_declared_parent__is_no_theft(world: CopyWorld) -> None:
    """The line is walked to its end, in the registry."""
    first = world.won()
    second = world.taken(first, name="heir", parent=first)
    third = world.opened_copy(second, name="other", parent=second)
    world.publish(first)
    assert said(world.auditor().audit(third)) == "none in 0 tests of 0 models, 0 aligned"


@pytest.mark.parametrize("change", [as_it_is, moved])
def test_audit__mark_in_the_declared_parent_already__is_not_this_miners_theft(world: CopyWorld, change: Change) -> None:
    """The parent stole and did not say so; who built on it in good faith is not struck (P-93)."""
    first = world.won()
    second = world.taken(first, name="thief")
    third = world.opened_copy(second, name="heir", parent=second, change=change)
    found = said(world.auditor().audit(third))
    assert "not counted (in the parent): slot 0 of model" in found
    assert world.hash_of(first).hex() in found


def test_audit__layers_too_large_to_align__are_read_blind_and_told(
    world: CopyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be aligned is not looked at, for suspects and for declared parents alike; nothing ends the audit."""
    monkeypatch.setattr("dlbc.core.alignment.MAX_UNITS", 1)
    first = world.won()
    second = world.taken(first, name="thief", change=as_it_is)
    heir = world.opened_copy(second, name="heir", parent=second, change=as_it_is)
    other = world.opened_copy(first, name="other", change=moved)

    assert "not counted (in the parent): slot 0 of model" in said(world.auditor().audit(heir))
    assert "0 aligned" in said(world.auditor().audit(other))


def test_audit__earlier_original_overflows__later_claims_are_audited_all_the_same(
    world: CopyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stranger's numbers blind nobody: what can't be aligned with is counted as not looked at."""
    world.won("other")
    task_id = world.won()

    def overflow(*_: object) -> None:
        raise VerificationFailed("weights: linears.0.weight was expected to be finite, found NaN or infinity")

    assert said(world.auditor().audit(task_id)) == "none in 2 tests of 1 models, 1 aligned"
    monkeypatch.setattr("dlbc.core.copying.aligned", overflow)
    assert said(world.auditor().audit(task_id)).endswith("0 aligned, 1 not looked at aligned")


def test_audit__declared_parent_not_served__protects_nobody(world: CopyWorld) -> None:
    """Who declares a parent has it, and can serve it."""
    first = world.won()
    second = world.taken(first, name="thief")
    third = world.opened_copy(second, name="heir", parent=second)
    del world.network[world.models().settled(second).claim.proof.sealed_model]
    assert said(world.auditor().audit(third)).startswith("FAIL slot 0 of model")


def test_audit__original_of_a_copy__is_not_accused_by_the_copy(world: CopyWorld) -> None:
    """Only who committed earlier has a mark that counts (P-93)."""
    first = world.won()
    world.taken(first)
    world.publish(TaskId(2))
    assert said(world.auditor().audit(first)) == "none in 0 tests of 0 models, 0 aligned"


def test_audit__own_earlier_model__is_no_theft(world: CopyWorld) -> None:
    """A miner may hand in its own work again."""
    first = world.won()
    again = world.opened_copy(first, name="owner", change=as_it_is)
    assert said(world.auditor().audit(again)) == "none in 0 tests of 0 models, 0 aligned"


def test_audit__mark_that_is_not_in_its_owners_model__counts_for_nothing(world: CopyWorld) -> None:
    """A slot key that fits a suspect but was never embedded proves that somebody chose it, not that anybody copied."""
    other = world.won("other")
    first = world.won()
    copy = world.opened_copy(first, change=as_it_is)
    opening = world.market.opened[first, 0][0]
    lie = replace(world.market.opened[other, 0][0], slot_key=opening.slot_key)
    world.market.opened[other, 0] = [lie]
    world.market.opened[first, 0] = []
    search, suspect = world.search(), world.suspect(copy)
    # the payload names the owner, so a borrowed key reads nothing; give it the one that fits
    real = search.payload
    search.payload = lambda slot: real(replace(slot, task_id=first, miner=opening.miner))  # type: ignore[method-assign]
    look = search.look(suspect, search.rivals(search.slots, suspect.claim), align="never")  # type: ignore[arg-type]
    assert [(mark.standing, mark.why) for mark in look.found] == [
        (Standing.UNPROVEN, "its owner's own model does not carry it")
    ]
    assert look.copies == []


def test_audit__original_not_served__is_said_and_is_no_finding(world: CopyWorld) -> None:
    """Nobody is accused by a model that nobody can see, found blind or not."""
    first = world.won()
    plain = world.opened_copy(first, change=as_it_is)
    hidden = world.opened_copy(first, name="other")
    del world.network[world.models().settled(first).claim.proof.sealed_model]
    assert "not counted (unproven): slot 0 of 0x" in said(world.auditor().audit(plain))
    assert "1 not looked at aligned, 1 originals not served" in said(world.auditor().audit(hidden))


def test_line__settled_again_with_its_child_as_parent__ends(world: CopyWorld) -> None:
    """A later settlement of an earlier commit can bend a line of parents into a ring."""
    first = world.won()
    second = world.taken(first, name="heir", parent=first)
    winner = world.market.winners[first, 0]
    world.market.winners[first, 0] = replace(winner, parent_model=world.hash_of(second))
    line = world.search().line(world.hash_of(second))
    assert list(line) == [world.hash_of(second), world.hash_of(first)]


# ------------------------------------------------------------------ bad input and scale


def test_look__slots_that_no_model_of_this_shape_has__are_left_out(world: CopyWorld) -> None:
    """A tree may have eight slots where the model has two; the keys of the others read nothing."""
    first = world.won()
    suspect = world.suspect(world.opened_copy(first))
    search = world.search()
    slots = [replace(search.slots[0], slot=slot) for slot in (0, 1, 2, 7)]
    look = search.look(suspect, slots, align="never")
    assert sorted(mark.reading.slot.slot for mark in look.marks) == [0, 1]


def test_look__always__aligns_with_what_was_found_blind_too(world: CopyWorld) -> None:
    """As a control: the same slot is then read twice."""
    first = world.won()
    suspect, search = world.suspect(world.opened_copy(first, change=as_it_is)), world.search()
    slots = search.rivals(search.slots, suspect.claim)  # type: ignore[arg-type]
    for align, expected in (("auto", [False]), ("always", [False, True])):
        look = search.look(suspect, slots, align=align)
        assert sorted(mark.reading.is_aligned for mark in look.copies) == expected


def test_audit__three_hundred_models__asks_the_chain_a_few_times(world: CopyWorld) -> None:
    """What a blind look needs comes from the log in one request a kind, however many models there are."""
    first = world.won()
    copy = world.opened_copy(first)
    posted, opened = world.market.posted[first], world.market.opened[first, 0][0]
    for number in range(1000, 1300):
        task_id, miner = TaskId(number), account("other").address
        world.market.posted[number] = replace(posted, task_id=task_id)
        key = keccak(number.to_bytes(4, "big"))
        world.market.opened[number, 0] = [ModelOpened(task_id, 0, miner, bytes(32), key, (), Timestamp(0))]
        commit = replace(world.market.committed[first, 0][0], task_id=task_id, miner=miner, commit_seq=1)
        world.market.committed[number, 0] = [commit]
    asked: list[str] = []

    class Counted(FakeChain):
        def __getattribute__(self, name: str) -> object:
            if not name.startswith("_") and name not in ("state", "chain_id", "market"):
                asked.append(name)
            return super().__getattribute__(name)

    search = world.search(Counted(world.market))
    suspect = world.suspect(copy)
    slots = search.rivals(search.compatible(suspect.architecture), suspect.claim)  # type: ignore[arg-type]
    look = search.look(suspect, slots, align="never")
    assert look.tests == 301
    assert opened.slot_key in [mark.reading.slot.key for mark in look.marks]
    assert sorted(asked) == ["all_commits", "all_openings", "postings", "slot_reveals"]


def test_audit__slots_in_the_log_of_models_that_were_never_opened__change_nothing(world: CopyWorld) -> None:
    """An endpoint that makes slots up accuses nobody: the owner's model has to be there."""
    first = world.won()
    copy = world.opened_copy(first)
    ghost = SlotRevealed(Hash32(bytes(32)), TaskId(77), 0, account("ghost").address, 1, bytes(32), 1)
    world.market.slots.append(ghost)
    assert said(world.auditor().audit(copy)).startswith("FAIL slot 0 of model")
