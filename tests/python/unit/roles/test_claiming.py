"""An owner's evidence: what it takes, what it is refused for, and that nothing leaves before it is certain (P-94)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dlbc.adapters.ml.weights import save_model
from dlbc.core import copying, watermark
from dlbc.core.errors import BadInput, NotFound, Refused, Usage, VerificationFailed
from dlbc.core.proofs import verify_slot_path
from dlbc.core.types import Hash32, TaskId
from dlbc.roles.claiming import Owner, check_output, evidence_json, write_evidence
from dlbc.roles.recovery import Memory, Wallet
from fakes.chain import FakeChain
from fakes.copied import CopyWorld, HiddenTrainer, as_it_is
from fakes.journal import MemoryJournal
from fakes.keys import account

pytestmark = pytest.mark.unit


@pytest.fixture
def world(tmp_path: Path) -> CopyWorld:
    """Nothing has happened yet."""
    return CopyWorld(tmp_path)


def sent(world: CopyWorld) -> int:
    """Slots that are published."""
    return len(world.market.slots)


def test_claim__copy_in_its_challenge__publishes_a_slot_that_nobody_knew(world: CopyWorld) -> None:
    """From the wallet alone; the evidence holds against the registry, and with it the audit fails."""
    first = world.won()
    world.lose_disk("owner")
    copy = world.opened_copy(first)
    model = world.hash_of(first)
    evidence = world.owner().claim(model, against=(copy, None))
    assert (evidence.slot, evidence.is_published, len(evidence.receipts)) == (1, True, 1)
    assert evidence.suspect.reaches(watermark.OWN)
    assert evidence.original.reaches(watermark.OWN)
    assert evidence.log2_bound < -128
    root = world.onlooker.watermark(model).root
    assert verify_slot_path(evidence.key, evidence.slot, evidence.path, root)
    (event,) = world.onlooker.slot_reveals(model)
    assert (event.key, event.slot, event.miner) == (evidence.key, 1, account("owner").address)
    assert evidence.reproduce == f"dlbc audit {copy} --round 0"
    assert not world.auditor().audit(copy).passed


def test_claim__agreement_refused__nothing_is_published(world: CopyWorld) -> None:
    """The sentence says what publishing means; it comes after the evidence is certain."""
    first = world.won()
    copy = world.opened_copy(first)

    def no(sentence: str) -> None:
        assert "Its key becomes public for ever" in sentence
        assert "0 unpublished slots are left" in sentence
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(world.owner(), agree=no).claim(world.hash_of(first), against=(copy, 0))
    assert sent(world) == 0


def test_claim__dry_run__says_all_and_sends_nothing(world: CopyWorld) -> None:
    """What is found is the same."""
    first = world.won()
    copy = world.opened_copy(first, change=as_it_is)
    evidence = world.owner().claim(world.hash_of(first), against=(copy, None), publish=False)
    assert (evidence.is_published, evidence.receipts, sent(world)) == (False, (), 0)
    assert not evidence.suspect.is_aligned


def test_claim__again_after_a_crash__costs_nothing(world: CopyWorld) -> None:
    """A slot that was published after the suspect's commit is used before another one is burnt."""
    first = world.won()
    copy = world.opened_copy(first)
    owner, model = world.owner(), world.hash_of(first)
    done = owner.claim(model, against=(copy, None))
    again = world.owner().claim(model, against=(copy, None))
    assert (again.key, again.receipts, again.is_published) == (done.key, (), True)
    named = world.owner().claim(model, against=(copy, None), slot=1)
    assert (named.key, named.receipts, sent(world)) == (done.key, (), 1)


def test_claim__every_slot_burnt_for_the_suspect__is_refused_but_a_named_one_is_read(world: CopyWorld) -> None:
    """Whoever knew a key and left its mark in is caught all the same."""
    first = world.won()
    world.publish(first)
    copy = world.opened_copy(first)
    with pytest.raises(Refused, match="all 2 slots of this model are public"):
        world.owner().claim(world.hash_of(first), against=(copy, None))
    assert world.owner().claim(world.hash_of(first), against=(copy, None), slot=1).is_published


def test_claim__against_a_file__finds_it_without_any_claim(world: CopyWorld, tmp_path: Path) -> None:
    """A copy need not be on the ledger."""
    first = world.won()
    file = tmp_path / "found.safetensors"
    save_model(world.stolen(first) | {"linears.1.bias": np.ones(10, np.float32)}, file)
    evidence = world.owner().claim(world.hash_of(first), file=file)
    assert (evidence.suspect_claim, evidence.suspect.is_aligned) == (None, False)
    assert evidence.reproduce.startswith("dlbc watermark detect FILE --model-hash ")


def test_claim__file_of_a_settled_copy__knows_its_claim(world: CopyWorld, tmp_path: Path) -> None:
    """By its sha256."""
    first = world.won()
    second = world.taken(first)
    file = tmp_path / "pulled.safetensors"
    world.models().pull(world.models().settled(second), file)
    evidence = world.owner().claim(world.hash_of(first), file=file)
    assert evidence.suspect_claim is not None
    assert evidence.suspect_claim.place == (second, 0, account("thief").address)


def test_claim__independent_model__is_not_detected_and_nothing_is_published(world: CopyWorld) -> None:
    """Exit code 4, with both strengths and what they should have been."""
    first = world.won()
    second = world.won("other")
    with pytest.raises(VerificationFailed, match=r"no slot of yours .* blind \(10\.53 .* aligned \(13\.32") as caught:
        world.owner().claim(world.hash_of(first), against=(second, None))
    assert caught.value.exit_code == 4
    assert sent(world) == 0


def test_claim__declared_parent_or_older_line__is_no_theft(world: CopyWorld) -> None:
    """Who pays the royalty is not accused, nor who builds on that."""
    first = world.won()
    second = world.taken(first, name="heir", parent=first)
    third = world.opened_copy(second, name="other", parent=second)
    for task_id in (second, third):
        with pytest.raises(VerificationFailed, match="declares yours as its parent"):
            world.owner().claim(world.hash_of(first), against=(task_id, None))
    assert sent(world) == 0


def test_claim__taken_from_the_declared_parent__names_the_wrong_thief(world: CopyWorld) -> None:
    """The parent has the mark already (P-93)."""
    first = world.won()
    second = world.taken(first)
    third = world.opened_copy(second, name="heir", parent=second)
    with pytest.raises(VerificationFailed, match="it was not this miner"):
        world.owner().claim(world.hash_of(first), against=(third, None))
    assert sent(world) == 0


def test_claim__suspect_committed_earlier__is_no_copy(world: CopyWorld) -> None:
    """The thief can't accuse the owner."""
    first = world.won()
    second = world.taken(first)
    with pytest.raises(VerificationFailed, match="was committed before yours"):
        world.owner("thief").claim(world.hash_of(second), against=(first, None))
    with pytest.raises(Refused, match="is this account's own"):
        world.owner().claim(world.hash_of(first), against=(first, None))
    assert sent(world) == 0


def test_claim__wrong_account_model_task_or_slot__is_refused_with_a_sentence(world: CopyWorld) -> None:
    """Before anything is fetched or compared."""
    first = world.won()
    copy = world.opened_copy(first)
    model = world.hash_of(first)
    with pytest.raises(Refused, match="was settled by"):
        world.owner("thief").claim(model, against=(copy, None))
    with pytest.raises(NotFound, match="only a settled model has slots"):
        world.owner().claim(Hash32(bytes(32)), against=(copy, None))
    with pytest.raises(Usage, match="name what is a copy"):
        world.owner().claim(model)
    with pytest.raises(Refused, match="nobody leads round 0"):
        world.owner().claim(model, against=(world.another(), None))
    for slot in (0, 2):
        with pytest.raises(BadInput, match="expected 1 to 1"):
            world.owner().claim(model, against=(copy, None), slot=slot)


def test_claim__another_file_than_was_opened__is_refused(world: CopyWorld, tmp_path: Path) -> None:
    """Evidence against a claim is about that claim's bytes."""
    first = world.won()
    copy = world.opened_copy(first)
    other = tmp_path / "other.safetensors"
    save_model(world.stolen(first), other)
    with pytest.raises(BadInput, match=r"is not what 0x.* opened in task 2"):
        world.owner().claim(world.hash_of(first), file=other, against=(copy, None))
    save_model({"linears.0.weight": np.ones((3, 3), np.float32)}, other)
    with pytest.raises(VerificationFailed, match="has not the architecture of your model"):
        world.owner().claim(world.hash_of(first), file=other)


def test_claim__wallet_that_signs_differently__needs_the_journal_and_writes_nothing_to_it(world: CopyWorld) -> None:
    """Its secrets were random, and are where the miner kept them."""

    class Fickle:
        """Signs every message differently."""

        def __init__(self) -> None:
            self._keys, self._count = account("owner"), 0

        @property
        def address(self) -> Any:
            return self._keys.address

        def sign_typed(self, typed_data: Any) -> bytes:
            if typed_data["primaryType"] != "MinerSecrets":
                return self._keys.sign_typed(typed_data)
            self._count += 1
            return bytes(31) + bytes([self._count % 200 + 1]) + self._keys.sign_typed(typed_data)[32:]

        def sign_transaction(self, transaction: Any) -> bytes:
            return self._keys.sign_transaction(transaction)

    keys = Fickle()
    first = world.another()
    world.play(first, world.miner("owner", trainer=HiddenTrainer(), keys=keys))
    copy = world.opened_copy(first)

    def owner(journal: MemoryJournal | None) -> Owner:
        chain = FakeChain(world.market, keys.address)
        return replace(world.owner(), keys=keys, wallet=Wallet(chain, keys, Memory(journal)))

    with pytest.raises(NotFound, match="use the machine that committed"):
        owner(None).claim(world.hash_of(first), against=(copy, None))
    kept = world.journal("owner")
    before = json.dumps(kept.all("random_secret"))
    assert owner(kept).claim(world.hash_of(first), against=(copy, None)).is_published
    assert json.dumps(kept.all("random_secret")) == before


def test_evidence__written__says_all_that_is_needed_to_check_it(world: CopyWorld, tmp_path: Path) -> None:
    """Key and path lead to the registered root, and the key reads what the file says from the opened bytes."""
    first = world.won()
    copy = world.opened_copy(first, change=as_it_is)
    evidence = world.owner().claim(world.hash_of(first), against=(copy, None))
    file = tmp_path / "evidence.json"
    check_output(file)
    write_evidence(evidence, file)
    told = json.loads(file.read_text())
    assert told == evidence_json(evidence)
    path = [Hash32(bytes.fromhex(sibling)) for sibling in told["path"]]
    root = bytes.fromhex(told["watermark_root"])
    assert verify_slot_path(bytes.fromhex(told["key"]), told["slot"], path, Hash32(root))
    assert root == world.onlooker.watermark(world.hash_of(first)).root
    payload = watermark.payload(31337, told["market"], told["task_id"], told["round"], told["miner"], told["slot"])
    read = watermark.detect(world.suspect(copy).weights, bytes.fromhex(told["key"]), told["slot"], payload)
    assert told["in_suspect"]["correlation"] == read.correlation
    assert told["suspect"]["task_id"] == copy


def test_evidence__nowhere_to_write__is_refused_before_anything_is_published(tmp_path: Path) -> None:
    """A folder, or a file in none."""
    for place in (tmp_path, tmp_path / "none" / "evidence.json"):
        with pytest.raises(Refused, match="nothing was published"):
            check_output(place)


def test_claim__found_only_aligned__counts_every_test(world: CopyWorld) -> None:
    """The bound is over all that was tried."""
    first = world.won()
    copy = world.opened_copy(first)
    evidence = world.owner().claim(world.hash_of(first), against=(TaskId(copy), None))
    assert (evidence.tests, evidence.suspect.is_aligned) == (2, True)
    assert evidence.log2_bound == copying.union(evidence.suspect.log2_false_positive, 2)
