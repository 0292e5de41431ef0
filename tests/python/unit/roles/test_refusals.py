"""What strangers send, and what is missing: one sentence each, nothing lost, no money sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dlbc.core import canonical
from dlbc.core.cid import locator_of
from dlbc.core.errors import BadInput, Refused, StorageUnreachable, Unavailable, VerificationFailed
from dlbc.core.hashing import sha256
from dlbc.core.proofs import test_commitment as commitment_of
from dlbc.core.scoring import label_root
from dlbc.core.task_file import parse_task_file
from dlbc.core.types import Locator, Phase, TaskId
from dlbc.ports import Dataset
from dlbc.roles.drafts import Draft
from dlbc.roles.entry import GARBLED_SECONDS
from dlbc.roles.entry_training import TRAININGS_LOST
from dlbc.roles.preparing import architecture_for
from fakes.keys import account
from fakes.trainer import FakeData, FakeTrainer
from fakes.world import TASK, World

pytestmark = pytest.mark.unit

ETHER = 10**18


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


def post_changed(world: World, **changes: Any) -> TaskId:
    """Posts a task whose draft was tampered with by its own requester."""
    requester = world.requester()
    draft = requester.prepare(world.task_file, world.folder)
    changed = replace(draft, **changes)
    commitments = (commitment_of(changed.test_set),)
    receipt = requester.chain.post(changed.terms, commitments)
    assert receipt.task_id is not None
    return receipt.task_id


def draft_of(world: World) -> Draft:
    """The honest draft."""
    return world.requester().prepare(world.task_file, world.folder)


def replace_manifest(world: World, **changes: Any) -> TaskId:
    """Posts a task with another manifest, whose hash and locator the terms name honestly."""
    draft = draft_of(world)
    value = canonical.from_bytes(world.network[draft.terms.manifest], what="manifest", max_bytes=1 << 20) | changes
    data = canonical.to_bytes(value)
    world.network[locator_of(data)] = data
    return post_changed(world, terms=replace(draft.terms, manifest=locator_of(data), manifest_hash=sha256(data)))


# ------------------------------------------------------------------ the requester's own input


def test_post__account_can_t_pay__refused_before_sending(world: World) -> None:
    """With too little money nothing is sent, and the sentence has both numbers."""
    requester = world.requester()
    draft = requester.prepare(world.task_file, world.folder)
    world.market.balances[account("requester").address] = ETHER
    with pytest.raises(Refused, match=r"posting sends 1\.1 ether .* holds 1 ether"):
        requester.post(draft)
    assert world.market.transactions == []


def test_prepare__terms_the_market_refuses__nothing_is_stored(world: World) -> None:
    """A window below the market's minimum is refused before any upload."""
    world.market.params = replace(world.market.params, min_window=7_200)
    with pytest.raises(BadInput, match=r"windows.train: this market allows 7200"):
        world.requester().prepare(world.task_file, world.folder)
    assert world.network == {}


def test_prepare__model_too_small_to_mark__refused(world: World) -> None:
    """A model without 8,000 carriers a slot could not be defended, so it is not posted."""
    world.data = _Small()
    with pytest.raises(BadInput, match="a watermark needs 8000 carriers a slot and this model has"):
        world.requester().prepare(world.task_file, world.folder)


class _Small(FakeData):
    def load(self, source: str, folder: Path, seed: int) -> tuple[Dataset, Dataset]:
        x = np.ones((4, 16), np.float32)
        return Dataset(x, np.arange(4)), Dataset(x, np.arange(4))


def test_architecture_for__cnn_on_flat_data__says_what_it_takes() -> None:
    """A convolution needs images."""
    task = parse_task_file(TASK.replace('family = "mlp"', 'family = "cnn"\nchannels = [8]'))
    with pytest.raises(BadInput, match=r"a cnn takes \[channels, height, width\], found \[16\]"):
        architecture_for(task, Dataset(np.ones((4, 16), np.float32), np.arange(4)))


def test_prepare__ipfs_down__try_later_and_nothing_posted(world: World) -> None:
    """An IPFS node that does not answer is a reason to try again, not a lost task."""
    requester = world.requester()
    requester.storage.is_down = True  # type: ignore[attr-defined]
    with pytest.raises(StorageUnreachable):
        requester.prepare(world.task_file, world.folder)
    assert world.market.transactions == []


def test_post__twice__is_one_task(world: World) -> None:
    """Posting the same file again adopts the posted task."""
    requester = world.requester()
    draft = requester.prepare(world.task_file, world.folder)
    first, receipt = requester.post(draft)
    again, nothing = requester.post(requester.prepare(world.task_file, world.folder))
    assert (first, receipt is not None) == (again, nothing is None)
    assert world.onlooker.task_count() == 1


def test_draft__shown__holds_no_key(world: World) -> None:
    """The test key reaches no log and no repr."""
    draft = draft_of(world)
    assert draft.test_key.hex() not in repr(draft)
    assert not any(draft.test_key.hex() in str(event) for event in world.events)


def test_cancel__before_the_first_commit__money_is_back(world: World) -> None:
    """Cancelling brings bounty and bond home in the same command."""
    task_id = world.post()
    world.requester().cancel(task_id)
    assert world.market.balances[account("requester").address] == 10_000 * ETHER
    assert world.market.phase(task_id).phase is Phase.CANCELLED


# ------------------------------------------------------------------ what a miner meets


def passed_over(world: World) -> str:
    """Why the miner left the only task alone; it must not have sent anything."""
    miner = world.miner()
    miner.tick()
    miner.tick()
    assert [call for _, call in world.market.transactions] == ["post"]
    (told,) = world.heard("task_passed_over")
    return str(told["why"])


def test_miner__workload_misstated__passes_the_task_over(world: World) -> None:
    """A task whose stated workload is not the manifest's is skipped (P-80)."""
    terms = draft_of(world).terms
    post_changed(world, terms=replace(terms, workload=replace(terms.workload, epochs=1)))
    assert "epochs: expected 5 as the manifest gives, found 1" in passed_over(world)


def test_miner__manifest_bytes_differ__passes_the_task_over(world: World) -> None:
    """Terms that name another manifest than the stored one."""
    terms = draft_of(world).terms
    post_changed(world, terms=replace(terms, manifest_hash=terms.manifest))
    assert "manifest: expected sha256" in passed_over(world)


def test_miner__malformed_manifest__passes_the_task_over(world: World) -> None:
    """A manifest that is no manifest."""
    replace_manifest(world, metric="beauty")
    assert "metric: expected 'top1', found 'beauty'" in passed_over(world)


def test_miner__manifest_nobody_has__tries_later_and_sends_nothing(world: World) -> None:
    """A CID nobody serves is a reason to look again later."""
    task_id = world.post()
    del world.network[world.onlooker.task_posted(task_id).terms.manifest]
    miner = world.miner()
    miner.tick()
    assert [event["task_id"] for event in world.heard("try_later")] == [task_id]
    assert [call for _, call in world.market.transactions] == ["post"]


def test_miner__shard_bytes_do_not_match__gives_up_without_paying(world: World) -> None:
    """A shard that is not what the manifest promises ends the entry before its deposit leaves."""
    draft = draft_of(world)
    value = canonical.from_bytes(world.network[draft.terms.manifest], what="manifest", max_bytes=1 << 20)
    shard = value["data"]["shards"][0]
    shard["sha256"] = "00" * 32
    replace_manifest(world, data=value["data"])
    miner = world.miner()
    miner.tick()
    (told,) = world.heard("gave_up")
    assert "shard 0: expected sha256 0000" in told["why"]
    assert [call for _, call in world.market.transactions] == ["post"]


def test_miner__shard_nobody_has__keeps_trying_until_training_ends(world: World) -> None:
    """A missing shard never raises out of the loop, and no deposit is paid."""
    task_id = world.post()
    value = canonical.from_bytes(
        world.network[world.onlooker.task_posted(task_id).terms.manifest], what="manifest", max_bytes=1 << 20
    )
    del world.network[Locator(bytes.fromhex(value["data"]["shards"][0]["locator"]))]
    miner = world.miner()
    for _ in range(3):
        miner.tick()
    world.market.move_to_end_of_phase(task_id)
    miner.tick()
    assert len(world.heard("try_later")) == 3
    assert [entry.is_done for entry in miner.entries.values()] == [True]
    assert [call for _, call in world.market.transactions] == ["post"]


def test_miner__training_fails__gives_up_with_the_child_s_words(world: World) -> None:
    """A failed training ends the entry; nothing was paid."""
    world.post()
    miner = world.miner(trainer=FakeTrainer(failure="out of memory"))
    miner.tick()
    miner.tick()
    assert [event["why"] for event in world.heard("gave_up")] == ["training failed: out of memory"]
    assert [call for _, call in world.market.transactions] == ["post"]


@pytest.mark.parametrize("lost", [1, TRAININGS_LOST, TRAININGS_LOST + 1])
def test_miner__training_ended_from_outside__goes_on_a_few_times(world: World, lost: int) -> None:
    """The kernel ends what takes too much memory; what keeps being ended is given up before anything is paid."""
    task_id = world.post()
    trainer = FakeTrainer(lost=lost)
    miner = world.miner(trainer=trainer)
    for _ in range(3 * lost + 8):
        miner.tick()
    assert len(world.heard("training_lost")) == min(lost, TRAININGS_LOST)
    assert trainer.starts == min(lost + 1, TRAININGS_LOST + 1)
    assert world.onlooker.round(task_id, 0).commits == (lost <= TRAININGS_LOST)
    assert len(world.heard("gave_up")) == (lost > TRAININGS_LOST)


def test_miner__no_money_for_the_deposit__passes_over_with_the_numbers(world: World) -> None:
    """A miner that can't pay the deposit does not train for nothing."""
    world.post()
    miner = world.miner()
    world.market.balances[account("miner").address] = ETHER // 20
    miner.tick()
    assert "the account holds 0.05 ether" in world.heard("task_passed_over")[0]["why"]


def test_miner__too_little_time_left__passes_over(world: World) -> None:
    """A training that can't end in time is not begun."""
    task_id = world.post()
    world.market.now = world.onlooker.round(task_id, 0).train_end - 3
    miner = world.miner()
    miner.tick()
    assert "more than is left" in world.heard("task_passed_over")[0]["why"]


@pytest.mark.parametrize(
    ("lie", "sentence"),
    [
        ("plaintext_hash", "test set: expected sha256"),
        ("labels_root", "test set: expected labels root"),
        ("samples", "found another locator or sample count"),
        ("sealed_locator", "found another locator or sample count"),
    ],
)
def test_miner__released_test_set_is_not_the_committed_one__claims_nothing(
    world: World, lie: str, sentence: str
) -> None:
    """A requester that committed to a false preimage gets no claim, and the miner says why (P-45, M-2)."""
    draft = draft_of(world)
    false = {"samples": 41}.get(lie, label_root([1, 2, 3]))
    test_set = replace(draft.test_set, **{lie: false})
    task_id = post_changed(world, test_set=test_set)
    miner = world.miner()
    requester = world.requester()
    for _ in range(6):
        miner.tick()
    assert world.onlooker.round(task_id, 0).commits == 1
    world.market.move_to_end_of_phase(task_id)
    requester.chain.release(task_id, test_set, draft.test_key)
    miner.tick()
    (told,) = world.heard("gave_up")
    assert told["why"].startswith("nothing is claimed: ")
    assert sentence in told["why"]
    assert "reveal" not in [call for _, call in world.market.transactions]


def test_miner__test_set_nobody_serves__tries_until_it_comes(world: World) -> None:
    """Unavailable is not a refusal: when the bytes come in time, the claim is made."""
    task_id = world.post()
    miner, requester = world.miner(), world.requester()
    world.play(task_id, miner, until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.market.move_to_end_of_phase(task_id)
    requester.release(task_id)
    released = world.onlooker.released(task_id, 0)
    assert released is not None
    held_back = world.network.pop(released.test_set.sealed_locator)
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 0
    world.network[released.test_set.sealed_locator] = held_back
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 1


def test_pull__sealed_parts_lie_about_their_size__refused_before_the_download(world: World) -> None:
    """A part list larger than the limit is refused by the list alone."""
    task_id = world.post()
    world.play(task_id, world.miner())
    models = world.models()
    model = models.settled(task_id)
    small = replace(model, manifest=replace(model.manifest, model_bytes=1_000))
    with pytest.raises((VerificationFailed, Unavailable), match="at most 1000 bytes"):
        models.pull(small, world.folder / "model")


def test_miner__own_node_lies_about_the_test_set__claims_once_it_tells_the_truth(world: World) -> None:
    """A mismatch is said at once but not for ever: it is looked at again while claims are still open."""
    task_id = world.post()
    miner, requester = world.miner(), world.requester()
    world.play(task_id, miner, until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.market.move_to_end_of_phase(task_id)
    requester.release(task_id)
    released = world.onlooker.released(task_id, 0)
    assert released is not None
    true = world.network[released.test_set.sealed_locator]
    world.network[released.test_set.sealed_locator] = b"lie"
    miner.tick()
    world.network[released.test_set.sealed_locator] = true
    miner.tick()
    assert (len(world.heard("try_later")), world.heard("gave_up")) == (1, [])
    assert world.onlooker.round(task_id, 0).reveals == 0
    world.market.now += GARBLED_SECONDS
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 1


def test_miner__task_in_a_later_round__passes_over(world: World) -> None:
    """Later rounds start from another model; this client does not pretend to play them."""
    task_id = world.post()
    world.market.tasks[task_id] = replace(world.market.tasks[task_id], round=1)
    world.market.rounds[task_id, 1] = world.market.rounds[task_id, 0]
    assert "round 1 goes on from another model" in passed_over(world)
