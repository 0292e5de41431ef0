"""A miner that dies between its claim and its reveal is saved by whoever has its folder."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dlbc.core.errors import BadInput, ChainUnreachable, ContractRefused, Refused
from dlbc.core.signed_reveal import OWN_TURN, SignedReveal, from_bytes, to_bytes
from dlbc.core.turns import delay, draw_lot
from dlbc.core.types import Address, Phase, TaskId
from dlbc.roles.relaying import Outbox, Relay, relay_folder
from fakes.chain import FakeChain
from fakes.keys import account
from fakes.world import Crash, Steps, World

pytestmark = pytest.mark.unit


class DiesAt(Steps):
    """The process is gone right before its reveal leaves."""

    def take(self, name: str) -> None:
        if name == "before reveal":
            raise Crash(name)


class Scene:
    """A task in Revealing whose miner died right before its reveal left."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.folder = folder / "relay"
        self.folder.mkdir()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.task_id = self.world.post()
        steps = DiesAt()
        miner = self.miner(steps)
        self.world.play(self.task_id, miner, until=lambda: self.world.onlooker.round(self.task_id, 0).commits == 1)
        self.world.market.move_to_end_of_phase(self.task_id)
        self.world.requester().release(self.task_id)
        with pytest.raises(Crash, match="before reveal"):
            miner.tick()
        (self.file,) = self.folder.glob("*.json")
        self.relay = self.another_relay()

    def miner(self, steps: Steps | None = None) -> Any:
        miner = self.world.miner(steps=steps)
        miner.outbox = Outbox(self.folder, self.hear)
        return miner

    def another_relay(self, name: str = "keeper") -> Relay:
        return Relay(FakeChain(self.world.market, account(name).address), self.folder, self.hear)

    def hear(self, event: str, **keys: Any) -> None:
        self.told.append((event, keys))

    def heard(self, event: str) -> list[dict[str, Any]]:
        return [keys for what, keys in self.told if what == event]

    @property
    def phase(self) -> Phase:
        return self.world.market.phase(self.task_id).phase

    @property
    def reveals(self) -> int:
        return [call for _, call in self.world.market.transactions].count("reveal")

    def until_the_keepers_turn(self) -> None:
        """All of them may send."""
        task = self.world.onlooker.task(self.task_id)
        self.world.market.now += 2 * (task.reveal_seconds // OWN_TURN)

    def put(self, data: bytes, name: str = "reveal-other.json") -> Path:
        file = self.folder / name
        file.write_bytes(data)
        return file


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """The miner is gone; its file is there."""
    return Scene(tmp_path)


def test_relay__miner_died_before_its_reveal__sends_it_once(scene: Scene) -> None:
    """After the miner's own turn the keeper sends; then there is nothing to do but to wait for the window's end."""
    scene.relay.tick()
    assert scene.reveals == 0
    scene.until_the_keepers_turn()
    for _ in range(3):
        scene.relay.tick()
    assert scene.reveals == 1
    assert scene.world.onlooker.entry(scene.task_id, 0, account("miner").address).has_revealed
    assert [told["miner"] for told in scene.heard("reveal_relayed")] == [account("miner").address]

    scene.world.market.move_to_end_of_phase(scene.task_id)
    scene.relay.tick()
    assert list(scene.folder.glob("*.json")) == []
    assert len(list((scene.folder / "done").iterdir())) == 1


def test_relay__two_keepers_and_the_miner__one_reveal(scene: Scene) -> None:
    """Whoever looks later sees on chain that it is done."""
    scene.until_the_keepers_turn()
    other = scene.another_relay("other keeper")
    scene.relay.tick()
    other.tick()
    scene.world.play(scene.task_id, scene.miner(), until=lambda: scene.phase is Phase.OPENING)
    assert scene.reveals == 1


def test_relay__keepers_with_the_same_folder__take_turns(scene: Scene) -> None:
    """Each has its own moment after the miner's; who comes later finds it done."""
    names = [f"keeper {number}" for number in range(5)]
    relays = {name: scene.another_relay(name) for name in names}
    share = scene.world.onlooker.task(scene.task_id).reveal_seconds // OWN_TURN
    scene.world.market.now += share - 1
    sent_at: dict[str, int] = {}
    for second in range(share + 2):
        for name, relay in relays.items():
            before = scene.reveals
            relay.tick()
            if scene.reveals > before:
                sent_at[name] = second
        scene.world.market.now += 1
    proof = from_bytes(scene.file.read_bytes()).proof
    lots = {name: draw_lot(account(name).address, 1, 0, proof.miner) for name in names}
    assert list(sent_at) == [min(lots, key=lambda name: lots[name])]
    assert len({delay(share, lot) for lot in lots.values()}) > 1
    assert 1 <= sent_at[min(lots, key=lambda name: lots[name])] <= share + 1


def test_relay__another_one_is_faster__is_left_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pool or the chain has already is no failure, and the file stays until the window is over."""
    scene.until_the_keepers_turn()

    def overtaken(*_: object, **__: object) -> None:
        raise ContractRefused("reveal: it is revealed already", name="Market_AlreadyRevealed")

    monkeypatch.setattr(FakeChain, "reveal", overtaken)
    for _ in range(20):
        scene.relay.tick()
    assert next(told["miner"] for told in scene.heard("relay_overtaken")) == account("miner").address
    assert scene.heard("relay_failed") == []
    assert scene.file.exists()


def test_relay__killed_anywhere_and_started_again__one_reveal(scene: Scene) -> None:
    """It keeps no memory of its own that could be wrong."""
    scene.until_the_keepers_turn()
    for point in (1, 2):
        steps = Steps(crash_at=point)
        chain = scene.world._chain(account("keeper").address, steps)
        with pytest.raises(Crash):
            Relay(chain, scene.folder, scene.hear).tick()
    scene.another_relay().tick()
    assert scene.reveals == 1


def test_relay__reveal_lost_in_a_reorganisation__is_sent_again(scene: Scene) -> None:
    """What the chain forgot is done again, as long as the window is open."""
    scene.until_the_keepers_turn()
    market, key = scene.world.market, (scene.task_id, 0, account("miner").address)
    before, rounds = market.entries[key], dict(market.rounds)
    scene.relay.tick()
    market.entries[key] = before
    market.rounds.update(rounds)
    market.first_reveals.clear()
    market.owners.clear()
    scene.relay.tick()
    assert scene.reveals == 2
    assert market.entries[key].has_revealed


def test_relay__changed_by_a_stranger__costs_nothing_and_is_moved_aside(scene: Scene) -> None:
    """The contract refuses it in the simulation; the true file is still sent."""
    scene.until_the_keepers_turn()
    true = from_bytes(scene.file.read_bytes())
    forged = {
        "a-higher.json": replace(true, claim=replace(true.claim, total=true.claim.total + 1)),
        "a-salt.json": replace(true, salt=b"\x01" * 32),
        "a-signer.json": replace(true, signature=true.signature[:64] + bytes([55 - true.signature[64]])),
        "a-nobody.json": replace(true, proof=replace(true.proof, miner=account("nobody").address)),
    }
    for name, reveal in forged.items():
        scene.put(to_bytes(reveal), name)
    for _ in range(3):
        scene.relay.tick()
    assert scene.reveals == 1
    assert {told["file"] for told in scene.heard("relay_refused")} == set(forged)
    assert all(len(told["reason"]) > 10 for told in scene.heard("relay_refused"))
    assert list(scene.folder.glob("*.json")) == [scene.file]
    assert {file.name for file in (scene.folder / "refused").iterdir()} == set(forged)


def test_relay__malformed_files__are_refused_once_they_stand_still(scene: Scene) -> None:
    """A file that is being copied looks malformed, too; it is left alone while it changes."""
    half = scene.put(scene.file.read_bytes()[:100], "half.json")
    scene.put(b"not json", "text.json")
    (scene.folder / "folder.json").mkdir()
    os.mkfifo(scene.folder / "pipe.json")
    (scene.folder / "link.json").symlink_to("/etc/hostname")
    scene.put(b"x" * 10**6, "large.json")
    scene.put(b"ignored", "readme.txt")
    scene.relay.tick()
    assert scene.heard("relay_refused") == []
    half.write_bytes(scene.file.read_bytes()[:200])
    scene.relay.tick()
    refused = {told["file"] for told in scene.heard("relay_refused")}
    assert refused == {"text.json", "folder.json", "pipe.json", "link.json", "large.json"}
    assert {file.name for file in (scene.folder / "refused").iterdir()} == refused
    half.write_bytes(scene.file.read_bytes())
    scene.until_the_keepers_turn()
    scene.relay.tick()
    assert scene.reveals == 1


def test_relay__another_market__is_left_for_its_own_keeper(scene: Scene) -> None:
    """One folder may serve several markets."""
    true = from_bytes(scene.file.read_bytes())
    other = scene.put(to_bytes(replace(true, market=account("another market").address)))
    elsewhere = scene.put(to_bytes(replace(true, chain_id=1)), "elsewhere.json")
    scene.until_the_keepers_turn()
    for _ in range(3):
        scene.relay.tick()
    assert other.exists()
    assert elsewhere.exists()
    assert len(scene.heard("relay_of_another_market")) == 2


def test_relay__a_task_that_the_node_does_not_know__waits(scene: Scene) -> None:
    """The keeper's node may be behind the miner's."""
    true = from_bytes(scene.file.read_bytes())
    later = scene.put(to_bytes(replace(true, proof=replace(true.proof, task_id=TaskId(99)))))
    scene.relay.tick()
    assert later.exists()
    assert scene.heard("relay_refused") == []


def test_relay__files_for_tasks_that_do_not_exist__take_few_requests(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write into the folder must not use up what the keeper may ask its node."""
    true = from_bytes(scene.file.read_bytes())
    for number in range(60):
        reveal = replace(true, proof=replace(true.proof, task_id=TaskId(1000 + number)))
        scene.put(to_bytes(reveal), f"a-{number}.json")
    asked: list[TaskId] = []
    plain = FakeChain.task

    def task(self: FakeChain, task_id: TaskId) -> Any:
        asked.append(task_id)
        return plain(self, task_id)

    monkeypatch.setattr(FakeChain, "task", task)
    for _ in range(50):
        scene.relay.tick()
    assert len([task_id for task_id in asked if task_id >= 1000]) <= 60 * 10
    scene.until_the_keepers_turn()
    scene.relay.tick()
    assert scene.reveals == 1


def test_relay__addresses_in_small_letters__are_the_same(scene: Scene) -> None:
    """Other programs may write them so."""
    true = from_bytes(scene.file.read_bytes())
    small = replace(true, market=Address(true.market.lower()))
    small = replace(small, proof=replace(small.proof, miner=Address(true.proof.miner.lower())))
    scene.file.write_bytes(to_bytes(small))
    scene.until_the_keepers_turn()
    scene.relay.tick()
    assert scene.reveals == 1


@pytest.mark.parametrize("error", [ChainUnreachable("no node"), Refused("no ether"), ContractRefused("odd", name="X")])
def test_relay__sending_fails__rests_and_tries_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A passing failure keeps the file, and does not stop others."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    scene.until_the_keepers_turn()
    with monkeypatch.context() as patch:
        patch.setattr(FakeChain, "reveal", fail)
        for _ in range(20):
            scene.relay.tick()
    assert 2 < len(scene.heard("relay_failed")) < 8
    for _ in range(10):
        scene.relay.tick()
    assert scene.reveals == 1


def test_relay__fails_once_it_is_mined__is_not_paid_for_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A miner's wallet that is a contract may accept in every simulation, and burn the gas in every block."""
    scene.until_the_keepers_turn()
    failed = ContractRefused("reveal: it failed in block 7, though the same call passes")
    failed.is_mined = True
    paid = []

    def fail(*_: Any, **__: Any) -> Any:
        paid.append(1)
        raise failed

    monkeypatch.setattr(FakeChain, "reveal", fail)
    for _ in range(20):
        scene.relay.tick()
    assert paid == [1]
    assert [told["file"] for told in scene.heard("relay_refused")] == [scene.file.name]


def test_relay__folder_that_nothing_can_be_moved_in__is_said_once(scene: Scene, monkeypatch: Any) -> None:
    """A folder mounted read-only still serves."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(30, "Read-only file system")

    scene.put(b"not json", "text.json")
    monkeypatch.setattr(Path, "mkdir", refuse)
    for _ in range(5):
        scene.relay.tick()
    assert [told["file"] for told in scene.heard("relay_refused")] == ["text.json"]
    assert [told["file"] for told in scene.heard("relay_not_moved")] == ["text.json"]


def test_relay__folder_unmounted__says_so_and_goes_on(scene: Scene) -> None:
    """It comes back when the mount does."""
    away = scene.folder.with_name("away")
    scene.folder.rename(away)
    scene.relay.tick()
    assert "is it mounted?" in scene.heard("relay_not_readable")[0]["reason"]
    away.rename(scene.folder)
    scene.until_the_keepers_turn()
    scene.relay.tick()
    assert scene.reveals == 1


def test_outbox__folder_unmounted__the_miner_still_reveals(scene: Scene) -> None:
    """The folder is a second way, not a condition."""
    scene.folder.rename(scene.folder.with_name("away"))
    scene.world.play(scene.task_id, scene.miner(), until=lambda: scene.phase is Phase.OPENING)
    assert scene.reveals == 1
    assert scene.heard("relay_not_written")


def test_outbox__server_of_the_folder_is_down__the_miner_reveals_all_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hard-mounted folder whose server is gone blocks every call into it, for hours."""
    is_up = threading.Event()

    def hang(*_: Any) -> None:
        assert is_up.wait(20)

    monkeypatch.setattr("dlbc.roles.relaying.write_atomically", hang)
    miner = scene.miner()
    miner.outbox.patience = 0.1
    scene.world.play(scene.task_id, miner, until=lambda: scene.reveals == 1)
    is_up.set()
    assert scene.reveals == 1
    assert "does not answer" in scene.heard("relay_not_written")[0]["reason"]
    miner.outbox._writer.join()


def test_outbox__what_is_left__is_what_a_reveal_publishes_and_no_more(scene: Scene) -> None:
    """Neither sealing key nor slot keys nor the wallet's signature over its secrets."""
    miner = scene.miner()
    miner.tick()
    (entry,) = miner.entries.values()
    secrets = entry.own_secrets()
    text = scene.file.read_text()
    reveal = from_bytes(scene.file.read_bytes())
    assert secrets.salt == reveal.salt
    hidden = [secrets.seal_key, secrets.recovery_key, secrets.init_key, secrets.prk, *secrets.slot_keys(8)]
    assert not [secret for secret in hidden if secret.hex() in text]


def test_relay_folder__none_there__is_refused_with_advice(tmp_path: Path) -> None:
    """An unmounted folder must not look like an empty one."""
    assert tmp_path == relay_folder(tmp_path)
    with pytest.raises(Refused, match="make it, or mount it"):
        relay_folder(tmp_path / "missing")


def test_signed_reveal__of_a_dead_miner__is_whole(scene: Scene) -> None:
    """What the miner left can be read back."""
    reveal = from_bytes(scene.file.read_bytes())
    assert isinstance(reveal, SignedReveal)
    assert reveal.proof.miner == account("miner").address
    with pytest.raises(BadInput):
        from_bytes(scene.file.read_bytes()[1:])
