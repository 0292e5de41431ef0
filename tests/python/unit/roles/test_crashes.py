"""A process may die at any line: between any two things it does to the outside world, started again it goes on."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from disputed import opened_lie
from dlbc.core.errors import Refused, TryLater
from dlbc.core.types import Phase, TaskId, Wei
from dlbc.ports import Journal
from fakes.keys import MoodyKeys, account
from fakes.world import Crash, Steps, World

pytestmark = pytest.mark.unit

ETHER = 10**18


def calls(world: World, name: str) -> list[str]:
    """The transactions of an account that took effect."""
    return [call for sender, call in world.market.transactions if sender == account(name).address]


def post_and_release(world: World, steps: Steps | None = None) -> TaskId:
    """What a requester does, in one process (`steps`) or in a new one."""
    requester = world.requester(steps=steps)
    task_id, _ = requester.post(requester.prepare(world.task_file, world.folder))
    if world.onlooker.round(task_id, 0).commits == 0:
        world.play(task_id, world.miner(), until=lambda: world.onlooker.round(task_id, 0).commits == 1)
        world.market.now = world.onlooker.round(task_id, 0).train_end
    if world.onlooker.round(task_id, 0).reveal_end == 0:
        requester.release(task_id)
    return task_id


def count_steps(folder: Path) -> list[str]:
    """Every step of an undisturbed requester."""
    steps = Steps()
    post_and_release(World(folder), steps)
    return steps.taken


def test_requester__killed_between_any_two_steps__posts_once_and_releases(tmp_path: Path) -> None:
    """However often it is killed, there is one task, its money is paid once, and its test set gets released."""
    names = count_steps(tmp_path / "whole")
    assert {"before post", "after post", "before release", "after release", "after journal draft"} <= set(names)
    for fatal in range(1, len(names) + 1):
        world = World(tmp_path / str(fatal))
        with pytest.raises(Crash):
            post_and_release(world, Steps(fatal))
        task_id = post_and_release(world)
        where = f"killed at step {fatal} ({names[fatal - 1]})"
        assert calls(world, "requester") == ["post", "release"], where
        assert world.market.locked == 12 * ETHER // 10, where
        assert world.onlooker.phase(task_id).phase is Phase.REVEALING, where


def test_requester__journal_lost_after_posting__releases_from_its_wallet(tmp_path: Path) -> None:
    """The test key comes back from the wallet, the rest of the preimage from the sealed test set."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.market.move_to_end_of_phase(task_id)
    world.lose_disk("requester")
    world.requester().release(task_id)
    assert world.onlooker.phase(task_id).phase is Phase.REVEALING


def test_requester__another_command_writes_the_journal__releases_all_the_same(tmp_path: Path) -> None:
    """`task post` holds the journal for seconds; a watch that waited for it, or ended, could lose the bond."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.market.move_to_end_of_phase(task_id)

    def refuse() -> AbstractContextManager[Journal]:
        raise Refused("another process already works in this folder")

    replace(world.requester(), open_journal=refuse).release(task_id)
    assert world.onlooker.phase(task_id).phase is Phase.REVEALING


def test_requester__journal_lost_and_another_wallet__says_what_is_missing(tmp_path: Path) -> None:
    """Without journal and without the right wallet nothing is sent, and the sentence says what to use."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.market.move_to_end_of_phase(task_id)
    with pytest.raises(Refused, match="test key is not in this journal, and the wallet does not give it back"):
        world.requester("somebody else").release(task_id)


def test_requester__wallet_that_signs_differently__keeps_a_random_key_in_the_journal(tmp_path: Path) -> None:
    """Such a wallet can post and release, but not without its journal."""
    world = World(tmp_path)
    keys = MoodyKeys(account("requester"))
    requester = world.requester(keys=keys)
    task_id, _ = requester.post(requester.prepare(world.task_file, world.folder))
    world.play(
        task_id,
        world.miner(),
        requester=requester,
        until=lambda: world.onlooker.round(task_id, 0).commits == 1,
    )
    world.market.move_to_end_of_phase(task_id)
    journal = world.journals.pop("requester")
    with pytest.raises(Refused, match="the wallet does not give it back"):
        world.requester(keys=keys).release(task_id)
    world.journals["requester"] = journal
    world.requester(keys=keys).release(task_id)
    assert world.onlooker.phase(task_id).phase is Phase.REVEALING


def mine(world: World, task_id: TaskId, steps: Steps | None = None) -> None:
    """What a miner does until it is paid."""
    world.play(task_id, world.miner(steps=steps))


def test_miner__killed_between_any_two_steps__commits_once_and_is_paid(tmp_path: Path) -> None:
    """However it is killed, started again it commits once, reveals once, opens, and gets everything it earned."""
    world = World(tmp_path / "whole")
    steps = Steps()
    mine(world, world.post(), steps)
    names = steps.taken
    assert {"before commit", "after commit", "after reveal", "after open", "after withdraw"} <= set(names)
    for fatal in range(1, len(names) + 1):
        world = World(tmp_path / str(fatal))
        task_id = world.post()
        with pytest.raises(Crash):
            mine(world, task_id, Steps(fatal))
        mine(world, task_id)
        where = f"killed at step {fatal} ({names[fatal - 1]})"
        done = calls(world, "miner")
        assert [done.count(call) for call in ("commit", "reveal", "open", "reclaim", "withdraw")] == [1] * 5, where
        assert world.market.balances[account("miner").address] == 10_000 * ETHER + ETHER * 98 // 100, where


def test_miner__disk_lost_anywhere_after_the_commit__still_reveals_and_collects(tmp_path: Path) -> None:
    """Wallet, chain and IPFS are enough: proof from the recovery blob, model from its own sealed bytes."""
    world = World(tmp_path / "whole")
    steps = Steps()
    mine(world, world.post(), steps)
    names = steps.taken
    for fatal in range(names.index("after commit") + 1, len(names) + 1):
        world = World(tmp_path / str(fatal))
        task_id = world.post()
        with pytest.raises(Crash):
            mine(world, task_id, Steps(fatal))
        world.lose_disk("miner")
        mine(world, task_id)
        where = f"disk lost at step {fatal} ({names[fatal - 1]})"
        assert world.onlooker.winner(task_id, 0).miner == account("miner").address, where
        assert world.market.balances[account("miner").address] == 10_000 * ETHER + ETHER * 98 // 100, where
        trained = world.heard("training_started", "miner")
        assert len(trained) == 1, where


def test_miner__wallet_that_signs_differently__works_from_its_journal(tmp_path: Path) -> None:
    """Random secrets kept in the journal do what derived ones do, across a restart too."""
    world = World(tmp_path)
    task_id = world.post()
    keys = MoodyKeys(account("miner"))
    world.play(task_id, world.miner(keys=keys), until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.play(task_id, world.miner(keys=keys))
    assert world.onlooker.winner(task_id, 0).miner == account("miner").address


def test_miner__journal_restored_from_an_old_backup__trusts_the_chain(tmp_path: Path) -> None:
    """A journal that disagrees with the committed digest is replaced by the recovery blob."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    journal = world.journal("miner")
    ((key, record),) = journal.all("entry")
    journal.put("entry", key, record | {"proof": record["proof"] | {"sealed_model": "0x" + "11" * 32}})
    world.play(task_id, world.miner())
    assert world.onlooker.winner(task_id, 0).miner == account("miner").address
    assert world.heard("entry_recovered", "miner")


def test_requester__killed_while_its_posting_was_on_its_way__does_not_post_twice(tmp_path: Path) -> None:
    """Sent but not mined: posting again would lock a second bounty. It waits, and adopts the task when it is there."""
    world = World(tmp_path)
    requester = world.requester()
    key = requester.prepare(world.task_file, world.folder).key
    record = world.journal("requester").get("draft", key)
    assert record is not None
    world.journal("requester").put("draft", key, record | {"stage": "posting"})
    world.market.waiting.append("post")
    with pytest.raises(TryLater, match="may be this very posting"):
        requester.post(requester.prepare(world.task_file, world.folder))
    assert world.market.tasks == {}

    world.market.waiting.clear()
    draft = requester.prepare(world.task_file, world.folder)
    requester.chain.post(draft.terms, draft.commitments)
    task_id, receipt = requester.post(draft)
    assert (task_id, receipt, len(world.market.tasks)) == (1, None, 1)


def challenge(world: World, steps: Steps | None = None) -> TaskId:
    """A miner with a demanded prediction, in one process (`steps`)."""
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    world.refuter("asker").demand(task_id, 3)
    world.play(task_id, world.miner(steps=steps))
    return task_id


def test_miner__killed_while_it_answers_and_collects__answers_once_and_is_paid(tmp_path: Path) -> None:
    """The bond of the demand and the prize come home, whatever line it died at."""
    steps = Steps()
    challenge(World(tmp_path / "whole"), steps)
    names = steps.taken
    assert {"before answer", "after answer", "after withdraw"} <= set(names)
    for fatal in range(1, len(names) + 1):
        world = World(tmp_path / str(fatal))
        with pytest.raises(Crash):
            challenge(world, Steps(fatal))
        world.lose_disk("miner")
        world.play(TaskId(1), world.miner())
        where = f"killed at step {fatal} ({names[fatal - 1]})"
        assert calls(world, "miner").count("answer") == 1, where
        expected = 10_000 * ETHER + ETHER * 98 // 100 + 5 * 10**15
        assert world.market.balances[account("miner").address] == expected, where


def test_auditor__killed_while_it_stakes_or_disputes__pays_once(tmp_path: Path) -> None:
    """A stake and a bond leave the account once each; running the command again says that they are there."""
    for fatal in (1, 2):
        world = World(tmp_path / f"stake{fatal}")
        with pytest.raises(Crash):
            world.staker("one", steps=Steps(fatal)).stake(Wei(ETHER))
        world.staker("one").stake(Wei(ETHER))
        assert calls(world, "one") == ["stake"]
    whole, task_id = opened_lie(tmp_path / "whole")
    steps = Steps()
    whole.disputer("me", steps=steps).dispute(task_id)
    assert {"after upload", "before dispute", "after dispute"} <= set(steps.taken)
    for fatal in range(1, len(steps.taken) + 1):
        world, task_id = opened_lie(tmp_path / f"dispute{fatal}")
        with pytest.raises(Crash):
            world.disputer("me", steps=Steps(fatal)).dispute(task_id)
        world.disputer("me").dispute(task_id)
        assert calls(world, "me") == ["dispute"]
        assert world.market.balances[account("me").address] == 10_000 * ETHER - ETHER // 10


def test_miner__somebody_else_advances_first__is_told_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losing the race to write what is due costs nothing."""
    world = World(tmp_path)
    task_id = world.post()
    miner = world.miner()
    world.play(task_id, miner, until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    world.market.move_to_end_of_phase(task_id)
    due = world.market.phase(task_id)
    world.requester().step(task_id)
    with monkeypatch.context() as lagging:
        lagging.setattr(miner.chain, "phase", lambda _: due)
        miner.tick()
    assert "Market_" not in str(world.heard("failed", "miner"))
    assert world.heard("refused", "miner")
    world.play(task_id, miner)
