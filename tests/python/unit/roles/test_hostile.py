"""One hostile task, node or moment must never cost the deposits of other entries."""

from __future__ import annotations

from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dlbc.core.errors import Refused, VerificationFailed
from dlbc.core.manifest import manifest_from_bytes
from dlbc.core.types import Locator, Phase, TaskId, Wei
from dlbc.roles.artifacts import fetch_manifest
from dlbc.roles.entry_record import ENTRY
from dlbc.roles.miner import NO_ENTRY, STUCK_SECONDS, Miner
from dlbc.roles.promises import PATIENCE
from fakes.keys import account
from fakes.storage import MemoryStorage
from fakes.trainer import FakeHandle, FakeTrainer
from fakes.world import World

pytestmark = pytest.mark.unit


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


def post_another(world: World) -> TaskId:
    """A second task of the same kind."""
    requester = world.requester()
    requester.forget(requester.prepare(world.task_file, world.folder))
    return requester.post(requester.prepare(world.task_file, world.folder))[0]


def committed(world: World, miner: Miner, task_id: TaskId) -> None:
    """The miner works until its deposit for the task is paid."""
    world.play(task_id, miner, until=lambda: world.onlooker.round(task_id, 0).commits == 1)


def released(world: World, task_id: TaskId) -> None:
    """Training is over and the test set is out."""
    world.market.move_to_end_of_phase(task_id)
    world.requester().release(task_id)


@pytest.mark.parametrize("error", [Refused("no money for gas"), RuntimeError("can't allocate memory"), OSError("full")])
def test_miner__one_entry_fails_at_its_commit__another_still_reveals(
    world: World, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little money for one commit, or anything else, ends neither the loop nor the other entry."""
    first = world.post()
    miner = world.miner()
    committed(world, miner, first)
    second = post_another(world)

    def broken(self: Any) -> None:
        raise error

    monkeypatch.setattr("dlbc.roles.entry.MinerEntry.commit", broken)
    for _ in range(4):
        miner.tick()
    assert [event["task_id"] for event in world.heard("task_chosen")] == [first, second]
    released(world, first)
    miner.tick()
    assert world.onlooker.round(first, 0).reveals == 1
    assert world.heard("failed", "miner")[-1]["task_id"] == second


def test_miner__evaluator_runs_out_of_memory__tries_again_and_saves_its_deposit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the evaluator raises stays with the entry, and before the window ends a claim of zero brings the deposit."""
    task_id = world.post()
    miner = world.miner()
    committed(world, miner, task_id)
    released(world, task_id)

    def explode(*_: Any) -> None:
        raise MemoryError("one terabyte")

    monkeypatch.setattr(miner.trainer, "predict", explode)
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 0
    world.market.now = world.market.phase(task_id).ends_at - 60
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 1


@pytest.mark.parametrize("what", ["lost", "replaced"])
def test_life__requester_releases_a_useless_test_set__miner_gets_its_deposit_back(world: World, what: str) -> None:
    """A release that nobody can use is free for the requester; it must not cost the miners their deposits (P-42)."""
    task_id = world.post()
    miner = world.miner()
    committed(world, miner, task_id)
    released(world, task_id)
    event = world.onlooker.released(task_id, 0)
    assert event is not None
    if what == "lost":
        del world.network[event.test_set.sealed_locator]
    else:
        world.network[event.test_set.sealed_locator] = b"nothing of use"
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 0
    world.market.now = world.market.phase(task_id).ends_at - 60
    world.play(task_id, miner)
    assert world.market.phase(task_id).phase is Phase.VOID
    assert world.market.balances[account("miner").address] == 10_000 * 10**18
    assert [claim["task_id"] for claim in world.heard("zero_claimed")] == [task_id]


@pytest.mark.parametrize("is_disk_lost", [False, True])
def test_life__requester_stops_serving_its_manifest__the_leader_opens_after_a_restart(
    world: World, is_disk_lost: bool
) -> None:
    """Once deposits are paid, whoever serves a task's files may stop; an opening must not depend on them."""
    task_id = world.post()
    miner = world.miner()
    committed(world, miner, task_id)
    released(world, task_id)
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 1
    world.market.move_to_end_of_phase(task_id)
    del world.network[world.onlooker.task_posted(task_id).terms.manifest]
    if is_disk_lost:
        world.lose_disk("miner")
    world.play(task_id, world.miner(), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE, most=12)


def test_life__requester_stops_serving_its_manifest__a_restarted_miner_claims(world: World) -> None:
    """The manifest that it trained for is on its disk."""
    task_id = world.post()
    miner = world.miner()
    committed(world, miner, task_id)
    released(world, task_id)
    del world.network[world.onlooker.task_posted(task_id).terms.manifest]
    world.miner().tick()
    assert world.onlooker.round(task_id, 0).reveals == 1
    assert world.heard("zero_claimed") == []


def test_miner__disk_full_when_it_starts__reveals_what_is_journaled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that was built before the disk filled up needs none to be sent; nor does the loop."""
    task_id = world.post()
    miner = world.miner()
    committed(world, miner, task_id)
    released(world, task_id)
    with monkeypatch.context() as down:
        down.setattr(miner.chain, "reveal", _lie)
        miner.tick()

    def full(*_: Any) -> None:
        raise Refused("the journal can't be used: database or disk is full")

    def no_room(state: Any) -> None:
        raise OSError(28, "No space left on device", "state.json")

    again = world.miner()
    monkeypatch.setattr(again.journal, "put", full)
    again.publish = no_room
    for _ in range(3):
        assert again.tick()
    assert world.onlooker.round(task_id, 0).reveals == 1
    assert "No space left" in world.heard("failed", "miner")[-1]["reason"]


@pytest.mark.parametrize(("place", "name"), [(FakeTrainer, "start"), (FakeHandle, "poll")])
def test_miner__own_disk_is_full_while_it_trains__trains_when_there_is_room(
    place: type, name: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this machine lacks is no fault of the task: before its deposit is paid, it is tried again, not given up."""
    task_id, miner = world.post(), world.miner()
    whole, left = getattr(place, name), [OSError(ENOSPC, "No space left on device")] * 3

    def full(*given: Any) -> Any:
        if left:
            raise left.pop()
        return whole(*given)

    monkeypatch.setattr(place, name, full)
    committed(world, miner, task_id)
    told = [event["reason"] for event in world.heard("failed", "miner")]
    assert told == ["this machine: No space left on device"] * 3
    assert not world.heard("gave_up", "miner")


def test_miner__zero_would_qualify__nothing_is_claimed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every score qualifies, a claim that nothing stands behind would be paid: then none is made."""
    task_id = world.post()
    miner = world.miner()
    committed(world, miner, task_id)
    released(world, task_id)
    world.market.tasks[task_id] = replace(world.market.tasks[task_id], min_score_ppm=0)
    monkeypatch.setattr(miner.storage, "fetch", _lie)
    world.market.now = world.market.phase(task_id).ends_at - 60
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 0


def _lie(*_: Any, **__: Any) -> bytes:
    raise VerificationFailed("other bytes")


def test_miner__node_does_not_show_the_commit_when_training_ends__entry_stays_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lagging node, or a reorganisation: an entry that was paid for is not closed before its task is over."""
    task_id = world.post()
    miner = world.miner()
    committed(world, miner, task_id)
    released(world, task_id)
    with monkeypatch.context() as lagging:
        lagging.setattr(miner.chain, "entry", lambda *_: NO_ENTRY)
        miner.tick()
    (entry,) = miner.entries.values()
    assert not entry.is_done
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 1


def test_miner__done_but_the_chain_holds_its_deposit__looks_again_after_a_restart(world: World) -> None:
    """The chain is the truth: what the journal calls finished is taken up when a reorganisation undid it."""
    task_id = world.post()
    miner = world.miner()
    committed(world, miner, task_id)
    (entry,) = miner.entries.values()
    entry.note(done=True)
    released(world, task_id)
    again = world.miner()
    again.tick()
    assert world.onlooker.round(task_id, 0).reveals == 1


def test_miner__id_given_to_other_terms_by_a_reorganisation__takes_fresh_keys(world: World) -> None:
    """P-32: no slot key marks two models, though task id and round are the same."""
    task_id = world.post()
    miner = world.miner()
    committed(world, miner, task_id)
    (before,) = miner.entries.values()
    # The chain forgets the task; another one gets its id.
    for facts in (world.market.tasks, world.market.rounds, world.market.entries, world.market.committed):
        facts.clear()
    second = post_another(world)
    assert second == task_id
    again = world.miner()
    committed(world, again, second)
    records = [record for _, record in world.journal("miner").all(ENTRY)]
    assert [record["attempt"] for record in records] == [0, 1]
    (after,) = again.entries.values()
    assert before.record["proof"]["watermark_root"] != after.record["proof"]["watermark_root"]
    assert before.record["proof"]["seal_key_hash"] != after.record["proof"]["seal_key_hash"]


class SlowStorage(MemoryStorage):
    """Everything takes a while; what is lost takes as long as it may."""

    def __init__(self, network: dict[Locator, bytes], seconds: float) -> None:
        super().__init__(network)
        self.time = 0.0
        self._seconds = seconds

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        self.time += self._seconds if locator in self.network else timeout
        return super().fetch(locator, max_bytes=max_bytes, timeout=timeout)


def slow_miner(world: World, seconds: float) -> tuple[Miner, SlowStorage]:
    """A miner on a slow node, with a stopwatch that shows what the node took."""
    miner, storage = world.miner(), SlowStorage(world.network, seconds)
    miner.storage = storage
    miner.seconds = lambda: storage.time
    return miner, storage


def shard_locators(world: World, task_id: TaskId) -> list[Locator]:
    """Where the training data is."""
    manifest = manifest_from_bytes(world.network[world.onlooker.task_posted(task_id).terms.manifest])
    return [shard.locator for shard in manifest.shards]


def test_miner__tasks_whose_manifests_nobody_serves__a_tick_stays_short_and_an_honest_one_is_found(
    world: World,
) -> None:
    """Sham tasks cost their poster nothing; they must neither hold up deadlines nor hide what is worth doing."""
    shams = [world.post()] + [post_another(world) for _ in range(3)]
    for sham in shams:
        del world.network[world.onlooker.task_posted(sham).terms.manifest]
        world.market.tasks[sham] = replace(world.market.tasks[sham], bounty_wei=Wei(10**21))
    honest = post_another(world)
    miner, storage = slow_miner(world, 0.1)
    longest = 0.0
    for _ in range(8):
        before = storage.time
        miner.tick()
        longest = max(longest, storage.time - before)
    assert [event["task_id"] for event in world.heard("task_chosen")] == [honest]
    assert longest <= 40.0


def test_miner__shards_trickle__other_entries_get_their_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher that sends a shard a minute, for weeks, gets a slice of each tick and no more."""
    monkeypatch.setattr("dlbc.roles.preparing.SHARD_BYTES", 200_000)
    task_id = world.post()
    assert len(shard_locators(world, task_id)) > 3
    miner, storage = slow_miner(world, 50.0)
    for number in range(2):
        before = storage.time
        miner.tick()
        assert storage.time - before <= (200.0 if number == 0 else 100.0)
    for _ in range(12):
        miner.tick()
    assert world.onlooker.round(task_id, 0).commits == 1


def test_miner__data_nobody_serves__another_task_is_done_meanwhile(world: World) -> None:
    """One task without data can't keep a miner busy until its training window ends."""
    sham = world.post()
    for locator in shard_locators(world, sham):
        del world.network[locator]
    miner, _ = slow_miner(world, 0.1)
    miner.tick()
    honest = post_another(world)
    for _ in range(20):
        miner.tick()
    assert [event["task_id"] for event in world.heard("task_chosen")] == [sham, honest]
    assert world.onlooker.round(honest, 0).commits == 1


@pytest.mark.parametrize("limit", [None, Wei(15 * 10**16)])
def test_miner__data_nobody_serves__its_deposit_is_kept_for_nobody(world: World, limit: Wei | None) -> None:
    """Posting a task and cancelling it is free: it must not take the money that an honest task needs."""
    sham = world.post()
    served = {locator: world.network.pop(locator) for locator in shard_locators(world, sham)}
    world.market.balances[account("miner").address] = 10**18 if limit else 15 * 10**16
    storage = SlowStorage(world.network, 0.1)
    miner = world.miner(most_at_risk_wei=limit)
    miner.storage, miner.seconds = storage, lambda: storage.time
    miner.tick()
    honest = post_another(world)
    for _ in range(16):
        miner.tick()
    assert world.onlooker.round(honest, 0).commits == 1
    world.network |= served
    for _ in range(8):
        storage.time += STUCK_SECONDS
        miner.tick()
    assert world.onlooker.round(sham, 0).commits == 0
    assert world.market.balances[account("miner").address] >= 5 * 10**15
    assert "deposit" in world.heard("waiting", "miner")[-1]["why"]


def test_miner__data_of_many_tasks_never_comes__each_is_asked_for_now_and_then(world: World) -> None:
    """Sham tasks are free; a hundred of them must not keep node and network busy."""
    shams = [world.post()] + [post_another(world) for _ in range(2)]
    for sham in shams:
        for locator in shard_locators(world, sham):
            world.network.pop(locator, None)
    miner, storage = slow_miner(world, 0.1)
    for _ in range(40):
        miner.tick()
    assert all(entry.training.data_tries >= PATIENCE for entry in miner.entries.values())
    miner.tick()
    before = len(world.heard("try_later"))
    for _ in range(40):
        storage.time += 0.5
        miner.tick()
    assert len(world.heard("try_later")) - before <= 6


def test_miner__task_larger_than_the_machine__passes_it_over(world: World) -> None:
    """A manifest of a kilobyte may ask for 80 GB; a machine that tries loses its other entries, too."""
    world.post()
    miner = world.miner(memory_bytes=10_000_000)
    miner.tick()
    (told,) = world.heard("task_passed_over")
    assert "training needs about" in told["why"]
    assert miner.entries == {}


def test_miner__task_larger_than_the_disk__passes_it_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full no journal can be written."""
    world.post()
    monkeypatch.setattr("dlbc.roles.choosing.disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    world.miner().tick()
    (told,) = world.heard("task_passed_over")
    assert "has 1000000 left" in told["why"]


def test_pull__a_link_lies_where_the_draft_goes__its_target_is_untouched(world: World) -> None:
    """In a folder that others can write to, a link must not make us overwrite a file of ours."""
    task_id = world.post()
    world.play(task_id, world.miner())
    precious = world.folder / "precious"
    precious.write_text("mine")
    output = world.folder / "model.safetensors"
    (world.folder / "model.safetensors.unverified.partial").symlink_to(precious)
    models = world.models()
    models.pull(models.settled(task_id), output)
    assert precious.read_text() == "mine"
    assert output.is_file()
    assert not output.is_symlink()


def test_fetch_manifest__the_log_tells_other_terms__nothing_is_fetched_for_them(world: World) -> None:
    """Terms that do not give the committed termsHash are a lie of the node, whatever manifest they name."""
    posted = world.onlooker.task_posted(world.post())
    lie = replace(posted, terms=replace(posted.terms, bounty_wei=Wei(posted.terms.bounty_wei * 2)))

    assert fetch_manifest(MemoryStorage(world.network), posted).samples > 0
    with pytest.raises(VerificationFailed, match="terms of task 1"):
        fetch_manifest(MemoryStorage(world.network), lie)
