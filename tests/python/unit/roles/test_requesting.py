"""A requester that nobody tends, on a market in memory: what it releases, fetches, tells and warns of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disputed import disputed_lie, opened_lie, vote
from dlbc.core.errors import ChainUnreachable, TryLater
from dlbc.core.task_file import parse_task_file
from dlbc.core.types import Phase, TaskId, Verdict
from dlbc.roles.miner import Miner
from dlbc.roles.requesting import RequesterDaemon
from dlbc.roles.safekeeping import KeptStorage
from fakes.chain import FakeChain
from fakes.channel import Listener
from fakes.keys import MoodyKeys, account
from fakes.world import TASK, Crash, Steps, World

pytestmark = pytest.mark.unit

ETHER = 10**18
STEPS = 66
"""Of a daemon with one task."""
WHOLE = ["task_posted", "commits_closed", "test_set_released", "claim_leads", "claim_opened", "settled", "model_stored"]
"""What is told of a task in which nothing goes wrong."""


def post(world: World, name: str = "one", who: str = "requester", **windows: str) -> TaskId:
    """A task of its own."""
    text = TASK.replace('name = "clusters"', f'name = "{name}"')
    for window, length in windows.items():
        text = text.replace(f'{window} = "1h"', f'{window} = "{length}"')
    requester = world.requester(who)
    return requester.post(requester.prepare(parse_task_file(text), world.folder))[0]


def play(
    world: World,
    daemon: RequesterDaemon,
    *miners: Miner,
    until: Callable[[], bool] = lambda: False,
    most: int = 300,
) -> None:
    """Everybody acts; when nobody has anything to do, time moves to the end of the nearest window."""
    for _ in range(most):
        before = len(world.market.transactions), len(world.events)
        goes_on = daemon.tick()
        for miner in miners:
            miner.tick()
        if until() or not goes_on:
            return
        done = daemon.followed and all(each.is_done for each in daemon.followed.values())
        if (
            done
            and not daemon.outbox.waiting
            and all(entry.is_done for each in miners for entry in each.entries.values())
        ):
            return
        said = [what for _, what, _ in world.events[before[1] :] if what not in ("waiting", "phase", "training")]
        trains = any(entry.training.is_running for miner in miners for entry in miner.entries.values())
        if before[0] == len(world.market.transactions) and not said and not trains:
            warm = [task_id for task_id in world.market.tasks if not world.market.phase(task_id).phase.is_cold]
            if warm:
                world.market.move_to_end_of_phase(min(warm, key=lambda each: world.market.phase(each).ends_at))
    raise AssertionError(f"it did not come to an end in {most} steps: {world.events[-10:]}")


def ticks(daemon: RequesterDaemon, times: int = 4) -> None:
    """Some in a row, without time."""
    for _ in range(times):
        daemon.tick()


def calls(world: World, name: str = "requester") -> list[str]:
    """The transactions of an account that took effect."""
    return [call for sender, call in world.market.transactions if sender == account(name).address]


def committed(world: World, task_id: TaskId, *names: str) -> list[Miner]:
    """Miners that have committed to this task."""
    miners = [world.miner(name, tasks=frozenset({task_id})) for name in names or ("miner",)]
    for _ in range(20):
        for miner in miners:
            miner.tick()
        if world.onlooker.round(task_id, 0).commits == len(miners):
            return miners
    raise AssertionError("nobody committed")


def model_file(daemon: RequesterDaemon, task_id: TaskId) -> Path:
    """Where a task's model comes to."""
    return daemon.store.folder / f"task-{task_id}-round-0.safetensors"


def is_winner(world: World, task_id: TaskId, file: Path) -> bool:
    """The file is what the ledger says."""
    return hashlib.sha256(file.read_bytes()).digest() == world.onlooker.winner(task_id, 0).model_hash


def sealed_of(world: World, task_id: TaskId, who: str = "requester") -> Any:
    """The locator of a task's sealed test set."""
    preimage = world.requester(who).kept_preimage(world.onlooker.round(task_id, 0).test_commitment)
    assert preimage is not None
    return preimage[0].sealed_locator


# ------------------------------------------------------------------ the whole way


def test_daemon__several_tasks__are_released_paid_stored_and_told(tmp_path: Path) -> None:
    """Five tasks, one process, nobody typing: every model is here, every bond is back, everything is heard once."""
    world, listener = World(tmp_path), Listener()
    tasks = [post(world, f"task {number}") for number in range(5)]
    daemon = world.requester_daemon(listener=listener)
    play(world, daemon, world.miner())
    for task_id in tasks:
        assert world.market.phase(task_id).phase is Phase.SETTLED
        assert is_winner(world, task_id, model_file(daemon, task_id))
        assert model_file(daemon, task_id).with_suffix(".json").exists()
        assert listener.kinds(task_id) == WHOLE
    assert calls(world).count("release") == 5
    assert world.market.balances[account("requester").address] == (10_000 - 5) * ETHER
    assert len({notice["id"] for notice in listener.heard}) == len(listener.heard) == 5 * len(WHOLE)
    assert world.heard("bond_at_risk") == []
    assert list((tmp_path / "requester-daemon/files").iterdir()) == [], "copies are for tasks that are open"


@pytest.mark.parametrize("fatal", range(1, STEPS + 1))
def test_daemon__killed_at_any_step__does_and_tells_everything(tmp_path: Path, fatal: int) -> None:
    """Before and after every record, transaction and notice; a notice that is told twice has the same id."""
    world, listener = World(tmp_path), Listener()
    task_id = post(world)
    miner, steps = world.miner(), Steps(fatal)
    try:
        play(world, world.requester_daemon(steps=steps, listener=listener), miner)
        assert fatal > len(steps.taken), "the fatal step was not fatal"
    except Crash:
        play(world, world.requester_daemon(listener=listener), miner)
    where = f"killed at step {fatal} ({steps.taken[-1]})"
    daemon = world.requester_daemon(listener=listener)
    play(world, daemon, miner)
    assert calls(world).count("release") == 1, where
    assert world.market.balances[account("requester").address] == 9_999 * ETHER, where
    assert sorted(listener.kinds()) == sorted(WHOLE), where
    assert is_winner(world, task_id, model_file(daemon, task_id)), where
    assert len(listener.heard) <= len(WHOLE) + 1, where


def test_steps__of_an_undisturbed_daemon__are_all_tried(tmp_path: Path) -> None:
    """The test above tries every one of them."""
    world, steps = World(tmp_path), Steps()
    post(world)
    play(world, world.requester_daemon(steps=steps, listener=Listener()), world.miner())
    assert STEPS - 4 <= len(steps.taken) <= STEPS
    assert {"before release", "after release", "after notice", "after journal notice", "after journal model"} <= set(
        steps.taken
    )


def test_daemon__both_journals_lost__goes_on_from_chain_and_wallet(tmp_path: Path) -> None:
    """The key comes back from the wallet before it is needed; what was told is told again under the same ids."""
    world, listener = World(tmp_path), Listener()
    task_id = post(world)
    play(
        world,
        world.requester_daemon(listener=listener),
        *committed(world, task_id),
        until=lambda: bool(world.heard("notice")),
    )
    for name in ("requester", "requester-daemon"):
        world.lose_disk(name)
    play(world, world.requester_daemon(listener=listener), world.miner())
    assert sorted(listener.kinds()) == sorted(WHOLE)
    assert world.heard("bond_at_risk") == []


def test_daemon__key_from_the_wallet__is_kept_for_a_release_without_ipfs(tmp_path: Path) -> None:
    """Once it was recovered the release needs neither the IPFS node nor the wallet."""
    world = World(tmp_path)
    task_id = post(world)
    miners = committed(world, task_id)
    world.lose_disk("requester")
    ticks(world.requester_daemon())
    kept, again = dict(world.network), world.requester_daemon()
    world.network.clear()
    world.market.move_to_end_of_phase(task_id)
    ticks(again)
    assert world.market.phase(task_id).phase is Phase.REVEALING
    world.network.update(kept)
    play(world, again, *miners)


def test_daemon__node_tells_only_a_part_of_its_log__forgets_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task posted from another machine is in this one's journal, and its bond hangs on the release."""
    world = World(tmp_path)
    task_id = post(world)
    miners = committed(world, task_id)
    ticks(world.requester_daemon())
    world.lose_disk("requester")
    monkeypatch.setattr(FakeChain, "postings_of", lambda *_: [])
    daemon = world.requester_daemon()
    ticks(daemon)
    assert set(daemon.followed) == {task_id}
    world.market.move_to_end_of_phase(task_id)
    ticks(daemon)
    assert world.market.phase(task_id).phase is Phase.REVEALING
    play(world, daemon, *miners)


def test_daemon__tasks_of_others_and_later_ones__follows_its_own(tmp_path: Path) -> None:
    """What is posted while it runs, too."""
    world = World(tmp_path)
    own, other = post(world), post(world, "other", "somebody")
    daemon = world.requester_daemon()
    ticks(daemon, 2)
    later = post(world, "later")
    ticks(daemon, 2)
    assert set(daemon.followed) == {own, later}
    assert other not in daemon.followed


def test_daemon__chosen_tasks__ends_when_they_are_over_and_paid(tmp_path: Path) -> None:
    """Other tasks of the account are left alone."""
    world, listener = World(tmp_path), Listener()
    one, two = post(world), post(world, "two", train="9h")
    daemon = world.requester_daemon(tasks=frozenset({one}), listener=listener)
    play(world, daemon, world.miner(tasks=frozenset({one})))
    assert not daemon.tick()
    assert listener.kinds() == WHOLE
    assert set(daemon.followed) == {one}
    assert world.market.phase(two).phase is Phase.TRAINING


def test_daemon__tasks_that_were_over_before__brings_their_models_only(tmp_path: Path) -> None:
    """Nobody wants to hear of last year's tasks one by one."""
    world, listener = World(tmp_path), Listener()
    task_id = world.post()
    world.play(task_id, world.miner())
    daemon = world.requester_daemon(listener=listener)
    play(world, daemon)
    assert listener.kinds() == ["model_stored"]
    assert is_winner(world, task_id, model_file(daemon, task_id))


# ------------------------------------------------------------------ releases


def test_daemon__two_releases_due__sends_the_more_urgent_first(tmp_path: Path) -> None:
    """The one whose window ends first, not the one that was posted first."""
    world = World(tmp_path)
    patient, urgent = post(world, "patient", release="3h"), post(world, "urgent", release="1h")
    for task_id in (patient, urgent):
        committed(world, task_id)
    daemon = world.requester_daemon()
    ticks(daemon)
    world.market.move_to_end_of_phase(urgent)
    daemon.tick()
    released = [event["task_id"] for event in world.heard("test_set_released")]
    assert released == [urgent, patient]


def test_daemon__one_task_can_not_be_released__the_others_are_all_the_same(tmp_path: Path) -> None:
    """A wallet that signs differently each time has lost its journal: that task's bond is warned of, twice."""
    world, listener = World(tmp_path), Listener()
    moody = MoodyKeys(account("requester"))
    lost = world.requester(keys=moody)
    first = lost.post(lost.prepare(world.task_file, world.folder))[0]
    world.lose_disk("requester")
    second = post(world, "second")
    for task_id in (first, second):
        committed(world, task_id)
    daemon = world.requester_daemon(listener=listener)
    ticks(daemon)
    assert [(notice["taskId"], notice["level"]) for notice in listener.of_kind("bond_at_risk")] == [(first, "soon")]
    assert list(listener.of_kind("bond_at_risk")[0]["reasons"]) == ["key"]
    world.market.move_to_end_of_phase(second)
    ticks(daemon)
    assert world.market.phase(first).phase is Phase.RELEASING
    assert world.market.phase(second).phase is Phase.REVEALING
    world.market.now += 1800
    ticks(daemon)
    levels = [notice["level"] for notice in listener.of_kind("bond_at_risk") if notice["taskId"] == first]
    assert levels == ["soon", "now"]


def test_daemon__release_does_not_get_through__is_tried_at_every_tick_and_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the first failure; soon after a minute; now when half of the window is gone; never given up."""
    world, listener = World(tmp_path), Listener()
    task_id = post(world)
    miners = committed(world, task_id)
    daemon = world.requester_daemon(listener=listener)
    tries = []

    def refuse(*_: object) -> None:
        tries.append(world.market.now)
        raise TryLater("one gas costs 900 gwei now")

    ticks(daemon)
    world.market.move_to_end_of_phase(task_id)
    with monkeypatch.context() as patched:
        patched.setattr(daemon.chain, "release", refuse)
        ticks(daemon, 3)
        assert len(tries) == 3
        assert listener.of_kind("bond_at_risk") == []
        for seconds, level in ((61, "soon"), (1800, "now")):
            world.market.now += seconds
            ticks(daemon, 3)
            assert listener.of_kind("bond_at_risk")[-1]["level"] == level
        assert len(listener.of_kind("bond_at_risk")) == 2
        assert "900 gwei" in listener.of_kind("bond_at_risk")[0]["reasons"]["release"]
    daemon.tick()
    assert world.market.phase(task_id).phase is Phase.REVEALING
    play(world, daemon, *miners)
    assert listener.kinds().count("settled") == 1


def test_daemon__urgent_release_fails__the_next_ones_come_before_its_second_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that no block takes is waited for, for minutes: not while others could be sent."""
    world = World(tmp_path)
    stuck, later = post(world, "stuck", release="2h"), post(world, "later", train="2h", release="3h")
    for task_id in (stuck, later):
        committed(world, task_id)
    daemon = world.requester_daemon()
    ticks(daemon)
    tried: list[TaskId] = []
    send = daemon.chain.release

    def release(task_id: TaskId, *preimage: Any) -> Any:
        tried.append(task_id)
        if task_id == stuck:
            raise ChainUnreachable("not mined within 180 s")
        return send(task_id, *preimage)

    monkeypatch.setattr(daemon.chain, "release", release)
    world.market.now += 3600
    ticks(daemon, 2)
    world.market.now += 3600 - 60
    daemon.tick()
    world.market.now += 60
    tried.clear()
    daemon.tick()
    assert tried == [later, stuck]


def test_daemon__chain_dies_amid_the_releases__ends_the_tick_instead_of_trying_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call would take its time to find nobody."""
    world = World(tmp_path)
    tasks = [post(world, f"task {number}") for number in range(6)]
    for task_id in tasks:
        committed(world, task_id)
    daemon = world.requester_daemon()
    ticks(daemon)
    world.market.now += 3600
    asked: list[TaskId] = []
    now = daemon.chain.now

    def task(task_id: TaskId) -> None:
        asked.append(task_id)
        raise ChainUnreachable("nobody answers")

    def clock() -> Any:
        if asked:
            raise ChainUnreachable("nobody answers")
        return now()

    monkeypatch.setattr(daemon.chain, "task", task)
    monkeypatch.setattr(daemon.chain, "now", clock)
    with pytest.raises(ChainUnreachable):
        daemon.tick()
    assert asked == tasks[:3]


def test_daemon__released_by_hand_meanwhile__goes_on(tmp_path: Path) -> None:
    """`dlbc task release` in another terminal is no reason to fail."""
    world, listener = World(tmp_path), Listener()
    task_id = post(world)
    miners = committed(world, task_id)
    daemon = world.requester_daemon(listener=listener)
    ticks(daemon)
    world.market.move_to_end_of_phase(task_id)
    world.requester().release(task_id)
    play(world, daemon, *miners)
    assert calls(world).count("release") == 1
    assert listener.kinds() == WHOLE


# ------------------------------------------------------------------ warnings while there is time


def test_daemon__test_set_is_gone_from_ipfs__warns_before_training_ends_and_takes_it_back(tmp_path: Path) -> None:
    """There is no copy of it here, for it was gone before the daemon came."""
    world, listener = World(tmp_path), Listener()
    task_id = post(world)
    sealed = sealed_of(world, task_id)
    kept = world.network.pop(sealed)
    daemon = world.requester_daemon(listener=listener)
    ticks(daemon)
    (warning,) = listener.of_kind("bond_at_risk")
    assert (warning["level"], list(warning["reasons"])) == ("soon", ["test set"])
    assert warning["bondWei"] == ETHER // 10
    assert len(world.heard("bond_at_risk")) == 1
    world.network[sealed] = kept
    world.market.now += 300
    ticks(daemon)
    assert [notice["kind"] for notice in listener.heard if notice["kind"].startswith("bond")] == [
        "bond_at_risk",
        "bond_safe",
    ]


def test_daemon__our_node_loses_files__puts_copies_back(tmp_path: Path) -> None:
    """Sealed test set, manifest and training data: looked at once an hour, and put back without a word to the owner."""
    world, listener = World(tmp_path), Listener()
    post(world, train="3h")
    whole = set(world.network)
    daemon = world.requester_daemon(listener=listener)
    ticks(daemon)
    world.network.clear()
    daemon.requester.storage.pins.clear()  # type: ignore[attr-defined]
    world.market.now += 3500
    ticks(daemon)
    assert not world.network, "it is looked at once an hour"
    world.market.now += 100
    daemon.tick()
    assert set(world.network) == whole
    assert world.heard("files_restored")[-1]["count"] == len(whole)
    assert listener.of_kind("bond_at_risk") == []


def test_daemon__training_data_is_gone__says_that_nobody_can_train(tmp_path: Path) -> None:
    """The bond is not at risk, but the task is for nothing."""
    world, listener = World(tmp_path), Listener()
    task_id = post(world)
    sealed = sealed_of(world, task_id)
    shard = next(each for each in world.network if each != sealed and len(world.network[each]) > 1_000_000)
    del world.network[shard]
    daemon = world.requester_daemon(listener=listener)
    ticks(daemon)
    assert len(listener.of_kind("data_missing")) == 1
    assert listener.of_kind("bond_at_risk") == []


def test_daemon__files_lost_after_the_release__warns_of_an_impeachment(tmp_path: Path) -> None:
    """Until revealing ends, whoever finds the test set missing takes the bond."""
    world, listener = World(tmp_path), Listener()
    task_id = post(world)
    committed(world, task_id)
    sealed = sealed_of(world, task_id)
    world.market.move_to_end_of_phase(task_id)
    world.requester().release(task_id)
    del world.network[sealed]
    daemon = world.requester_daemon(listener=listener)
    ticks(daemon)
    assert [notice["level"] for notice in listener.of_kind("bond_at_risk")] == ["now"]


def test_daemon__too_little_for_gas__warns_of_the_tasks_it_does_not_suffice_for(tmp_path: Path) -> None:
    """The most urgent release is paid for first."""
    world, listener = World(tmp_path), Listener()
    first, second = post(world, train="3h"), post(world, "second", train="4h")
    world.market.balances[account("requester").address] = 15 * 10**13
    daemon = world.requester_daemon(listener=listener)
    ticks(daemon)
    assert [notice["taskId"] for notice in listener.of_kind("bond_at_risk")] == [second]
    world.market.gas_price *= 100
    world.market.now += 3600
    ticks(daemon)
    assert {notice["taskId"] for notice in listener.of_kind("bond_at_risk")} == {first, second}


def test_daemon__chain_is_silent_near_a_release__warns_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a daemon that was just started, from what an earlier one noted."""
    world, listener = World(tmp_path), Listener()
    task_id = post(world)
    committed(world, task_id)
    ticks(world.requester_daemon(listener=listener))
    daemon = world.requester_daemon(listener=listener)

    def silent(*_: object) -> None:
        raise ChainUnreachable("nobody answers")

    with monkeypatch.context() as patched:
        patched.setattr(daemon.chain, "news", silent)
        for _ in range(300):
            with pytest.raises(ChainUnreachable):
                daemon.tick()
    assert [(notice["taskId"], list(notice["reasons"])) for notice in listener.of_kind("bond_at_risk")] == [
        (task_id, ["chain"])
    ]
    ticks(daemon)
    assert listener.kinds()[-1] == "bond_safe"


# ------------------------------------------------------------------ models


def settled(tmp_path: Path) -> tuple[World, TaskId]:
    """A task that somebody released by hand, settled and paid."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner())
    return world, task_id


def test_daemon__model_is_not_served__tells_once_and_fetches_it_when_it_is(tmp_path: Path) -> None:
    """In another process, if need be."""
    world, task_id = settled(tmp_path)
    listener = Listener()
    (claim,) = world.onlooker.reveals(task_id, 0)
    kept = world.network.pop(claim.proof.sealed_model)
    ticks(world.requester_daemon(listener=listener), 40)
    assert listener.kinds() == ["model_not_stored"]
    world.network[claim.proof.sealed_model] = kept
    daemon = world.requester_daemon(listener=listener)
    ticks(daemon)
    assert listener.kinds() == ["model_not_stored", "model_stored"]
    assert is_winner(world, task_id, model_file(daemon, task_id))


def test_daemon__model_never_comes__ends_with_its_task_all_the_same(tmp_path: Path) -> None:
    """After some tries; the next run goes on."""
    world, task_id = settled(tmp_path)
    (claim,) = world.onlooker.reveals(task_id, 0)
    del world.network[claim.proof.sealed_model]
    daemon = world.requester_daemon(tasks=frozenset({task_id}))
    assert any(not daemon.tick() for _ in range(2_000))
    assert daemon.store.failures(daemon.followed[task_id].model_key(0)) == 5


def test_daemon__another_file_has_the_models_name__is_left_alone(tmp_path: Path) -> None:
    """The model gets a name with its hash; its own file, found again, is not fetched twice."""
    world, task_id = settled(tmp_path)
    daemon = world.requester_daemon()
    other = model_file(daemon, task_id)
    other.parent.mkdir(parents=True)
    other.write_bytes(b"somebody's")
    ticks(daemon)
    assert other.read_bytes() == b"somebody's"
    (stored,) = [file for file in other.parent.glob("*.safetensors") if file != other]
    assert is_winner(world, task_id, stored)
    world.journals.pop("requester-daemon")
    world.network.clear()
    ticks(world.requester_daemon())
    assert world.heard("model_stored")[-1]["path"] == str(stored)
    assert not (other.parent / ".pulling").exists() or not list((other.parent / ".pulling").iterdir())


def test_daemon__disk_is_full__says_so_and_stores_nothing(tmp_path: Path) -> None:
    """And tries again later."""
    world, _ = settled(tmp_path)
    listener = Listener()
    daemon = world.requester_daemon(listener=listener, free_bytes=1 << 20)
    ticks(daemon)
    (notice,) = listener.of_kind("model_not_stored")
    assert "MiB free" in notice["why"]
    assert list(daemon.store.folder.glob("*.safetensors")) == []


def test_daemon__model_is_not_what_was_promised__is_not_stored(tmp_path: Path) -> None:
    """A node that serves other bytes fools nobody."""
    world, task_id = settled(tmp_path)
    (claim,) = world.onlooker.reveals(task_id, 0)
    world.network[claim.proof.sealed_model] = b"something else"
    daemon = world.requester_daemon()
    ticks(daemon)
    assert list(daemon.store.folder.glob("*.safetensors")) == []
    assert len(world.heard("model_not_stored")) == 1


# ------------------------------------------------------------------ what else is told


def test_daemon__claim_is_disputed_and_struck__tells_both(tmp_path: Path) -> None:
    """With who objected, on which grounds, and why it was struck."""
    world, task_id = disputed_lie(tmp_path, "one", "two")
    listener = Listener()
    daemon = world.requester_daemon(listener=listener)
    ticks(daemon)
    (told,) = listener.of_kind("disputed")
    assert (told["of"], told["filer"]) == ("claim", account("disputer").address)
    assert told["grounds"]
    vote(world, task_id, "one", Verdict.FALLS)
    play(world, daemon, world.miner("honest"))
    (struck,) = listener.of_kind("claim_struck")
    assert (struck["miner"], struck["reason"]) == (account("liar").address, "voted")
    (won,) = listener.of_kind("settled")
    assert won["winner"] == account("honest").address


def test_daemon__nobody_commits__tells_that_the_money_came_back(tmp_path: Path) -> None:
    """Void; bounty and bond."""
    world, listener = World(tmp_path), Listener()
    post(world)
    play(world, world.requester_daemon(listener=listener))
    assert listener.kinds() == ["task_posted", "ended_without_winner"]
    (notice,) = listener.of_kind("ended_without_winner")
    assert (notice["phase"], notice["returnedWei"]) == ("Void", 11 * ETHER // 10)
    assert world.market.balances[account("requester").address] == 10_000 * ETHER


def test_daemon__cancelled_by_hand__tells_it(tmp_path: Path) -> None:
    """And has nothing left to do."""
    world, listener = World(tmp_path), Listener()
    task_id = post(world)
    daemon = world.requester_daemon(listener=listener)
    ticks(daemon)
    world.requester().cancel(task_id)
    play(world, daemon)
    (notice,) = listener.of_kind("ended_without_winner")
    assert notice["phase"] == "Cancelled"
    assert daemon.followed[task_id].is_done


def test_daemon__too_late_for_the_release__advances_and_tells_what_is_lost(tmp_path: Path) -> None:
    """Aborted: the bounty is back, the bond is not."""
    world, listener = World(tmp_path), Listener()
    task_id = post(world)
    committed(world, task_id)
    ticks(world.requester_daemon(listener=listener))
    world.market.now += 3 * 3600
    play(world, world.requester_daemon(listener=listener))
    (notice,) = listener.of_kind("ended_without_winner")
    assert (notice["phase"], notice["returnedWei"]) == ("Aborted", ETHER)


def test_daemon__a_lie_leads__tells_who_leads_and_who_opened(tmp_path: Path) -> None:
    """Whether it stands is not for the requester to say."""
    world, task_id = opened_lie(tmp_path)
    listener = Listener()
    ticks(world.requester_daemon(listener=listener))
    (notice,) = listener.of_kind("claim_opened")
    assert (notice["miner"], notice["taskId"]) == (account("liar").address, task_id)


def test_kept_storage__another_port_call__reaches_the_node(tmp_path: Path) -> None:
    """It stands for a Storage."""
    world = World(tmp_path)
    assert KeptStorage(world.requester().storage, tmp_path).version() == "memory"
