"""`dlbc miner status`, the live view and the options of `dlbc miner run`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dlbc import bootstrap
from dlbc.cli.main import run
from dlbc.cli.miner import typed_devices
from dlbc.cli.miner_live import LiveView, event_line
from dlbc.cli.miner_status import shown_device
from dlbc.core.errors import Usage
from dlbc.core.types import Address, Phase
from dlbc.roles.miner import Miner
from dlbc.roles.miner_state import StateFile
from fakes.chain import FakeChain
from fakes.keys import account
from fakes.pool import FakePool
from fakes.trainer import FakeTrainer
from fakes.world import World
from rich.console import Console

pytestmark = pytest.mark.unit

ETHER = 10**18
COLUMNS = 80
PRIZE = ETHER - ETHER // 50


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The commands see a market in memory."""
    world = World(tmp_path)

    def both(config: Any, keys: Any = None) -> tuple[FakeChain, FakePool]:
        return FakeChain(world.market, None), FakePool(world.pool_state, None)

    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bootstrap, "chain_and_pool", both)
    monkeypatch.setattr(bootstrap, "account_address", lambda config, ask=None: account("miner").address)
    monkeypatch.setattr(bootstrap, "journal_if_there", lambda folder: world.journal("miner"))
    return world


def published(world: World, **options: Any) -> Miner:
    """A miner whose state is where the daemon's would be."""
    miner = world.miner(**options)
    folder = world.folder / f"miner-{account('miner').address}"
    folder.mkdir(exist_ok=True)
    miner.publish = StateFile(folder)
    return miner


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `dlbc miner status`."""

    def ask(*arguments: str) -> str:
        capsys.readouterr()
        assert run(["miner", "status", "--account", "miner", *arguments]) == 0
        return capsys.readouterr().out

    return ask


def test_status__trains_and_plans__says_where_and_why(
    world: World, shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices, queue with reasons, and what was passed over, in 80 columns; the same as JSON."""
    requester = world.requester()
    for _ in range(3):
        requester.forget(requester.prepare(world.task_file, world.folder))
        requester.post(requester.prepare(world.task_file, world.folder))
    world.market.balances[account("miner").address] = ETHER * 25 // 100
    miner = published(world, trainer=FakeTrainer(ticks=50))
    for _ in range(2):
        miner.tick()
    monkeypatch.setattr(bootstrap, "is_at_work", lambda folder: True)
    told = json.loads(shown("--json"))
    text = shown()
    assert (told["isRunning"], told["devices"][0]["taskId"], told["devices"][0]["state"]) == (True, 1, "training")
    assert [(row["taskId"], row["device"]) for row in told["queue"]] == [(2, "auto")]
    assert told["queue"][0]["why"].startswith("pays 1 ether for about")
    assert [row["taskId"] for row in told["passed"]] == [3]
    for words in ("daemon                runs", "task 1: training", "pays 1 ether", "promised to better"):
        assert words in text
    assert max(len(line) for line in text.splitlines()) <= COLUMNS


def test_status__deposit_in_the_market__says_what_is_locked(world: World, shown: Callable[..., str]) -> None:
    """Without the daemon: what the chain tells."""
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    told = json.loads(shown("--json"))
    assert (told["isRunning"], told["stateAt"], told["devices"]) == (False, None, [])
    assert [(lock["taskId"], lock["amountWei"]) for lock in told["locks"]] == [(task_id, ETHER // 10)]
    assert (told["entries"][0]["entry"], told["entries"][0]["deposit"], told["lockedWei"]) == (
        "leads",
        "locked",
        ETHER // 10,
    )
    assert "does not run, and never ran in this home folder" in shown()


def test_status__paid__says_what_was_earned_on_which_day(world: World, shown: Callable[..., str]) -> None:
    """Prizes by the chain, what came home by the journal."""
    task_id = world.post()
    world.play(task_id, published(world))
    told = json.loads(shown("--json"))
    earned = told["earnings"]
    assert (earned["prizes"], earned["prizesWei"], earned["receivedWei"]) == (1, PRIZE, PRIZE + ETHER // 10)
    assert [(day["prizesWei"], day["receivedWei"]) for day in earned["days"]] == [(PRIZE, PRIZE + ETHER // 10)]
    text = shown()
    assert "0.98 ether in 1 settled round\n" in text
    assert "last at work" in text


def test_status__outscored__says_that_it_did_not_win(world: World, shown: Callable[..., str]) -> None:
    """A claim that qualified has not won; its deposit is back."""
    task_id = world.post()
    world.play(task_id, world.miner("miner2"), published(world))
    told = json.loads(shown("--json"))
    assert (told["entries"][0]["entry"], told["entries"][0]["deposit"]) == ("did not win", "-")
    assert told["earnings"]["prizes"] == 0


def drawn(view: LiveView, width: int = COLUMNS) -> str:
    """What the terminal shows."""
    console = Console(file=io.StringIO(), width=width, record=True, force_terminal=True, highlight=False)
    console.print(view.draw())
    return console.export_text()


def test_live__miner_at_work__shows_devices_entries_countdowns_and_events(world: World) -> None:
    """The countdown goes on between two states."""
    task_id = world.post()
    time = [0.0]
    console = Console(file=io.StringIO(), width=COLUMNS, force_terminal=True)
    view = LiveView(account("miner").address, console, lambda: time[0])
    miner = world.miner(trainer=FakeTrainer(ticks=50))
    miner.seconds = lambda: time[0]
    miner.show_on(view.heard(event_line), view.publish)
    assert "looks at the market" in drawn(view)
    with view:
        miner.tick()
        miner.tick()
    before = drawn(view)
    time[0] += 60
    after = drawn(view)
    for words in (f"task {task_id}: training", "epoch 0 of 5", "train", "Training runs", "task chosen  task 1"):
        assert words in before
    assert "balance 10000 ether" in before
    assert "1h" in before
    assert "59m" in after
    assert max(len(line) for line in before.splitlines()) <= COLUMNS
    assert "59m" not in before


def test_live__amounts_to_the_wei__stay_on_one_line(world: World) -> None:
    """Gas makes eighteen decimals of every balance."""
    world.post()
    world.market.balances[account("miner").address] = 1234 * ETHER + 399_888_394_999_218_765
    view = LiveView(account("miner").address, Console(file=io.StringIO()))
    miner = world.miner(trainer=FakeTrainer(ticks=50))
    miner.show_on(view.heard(event_line), view.publish)
    miner.tick()
    assert "  balance 1234.3998 ether   at risk in deposits 0.1 ether   received 0 ether\n" in drawn(view)


def test_live__text_of_strangers__can_t_steer_the_terminal(world: World) -> None:
    """A manifest's words reach the view as words."""
    view = LiveView(Address("0x" + "1" * 40), Console(file=io.StringIO()))
    world.post()
    miner = world.miner()
    miner.show_on(view.heard(event_line), view.publish)
    miner.tick()
    (entry,) = miner.entries.values()
    entry.claim_refused = "tensor [/named] by a requester"
    miner.publish(miner.state())
    view.heard(event_line)("task_passed_over", task_id=1, why="\x1b[2J[bold]gone[/bold]")
    shown = drawn(view)
    assert "tensor [/named]" in shown
    assert "\x1b[2J" not in shown
    assert "[bold]gone[/bold]" in shown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), ()),
        (("auto",), ()),
        (("cuda:0", "cuda:1", "cpu"), ("cuda:0", "cuda:1", "cpu")),
        (("cpu+cpu",), ("cpu+cpu",)),
    ],
)
def test_devices__named__one_training_on_each(given: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """() is auto."""
    assert typed_devices(given) == expected


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("gpu",), "--device: expected auto, cpu, cuda or cuda:NUMBER, or a group .*, found 'gpu'"),
        (("cuda:0", "cuda:0"), "expected each device once"),
        (("cuda", "cuda:0"), "expected each device once"),
        (("auto", "cpu"), "auto alone"),
    ],
)
def test_devices__unknown_or_twice__refused_in_one_sentence(given: tuple[str, ...], sentence: str) -> None:
    """Two trainings on one device would be slower than one after the other."""
    with pytest.raises(Usage, match=sentence):
        typed_devices(given)


@pytest.mark.parametrize(
    ("device", "shown"),
    [("cuda:1", "cuda:1"), ("cuda:0+cuda:1", "cuda:0+cuda:1"), ("cuda:0+cuda:1+cuda:2", "cuda:0+2 more")],
)
def test_shown_device__large_groups__fit_into_a_column(device: str, shown: str) -> None:
    """Eight GPUs are one slot, and one short name."""
    assert shown_device(device) == shown


def test_run__own_strategy_on_a_group__is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    """A strategy of one's own knows one device."""
    code = run(["miner", "run", "--device", "cpu+cpu", "--strategy", "json:JSONDecoder"])

    assert code == 2
    assert (
        "strategy json:JSONDecoder: expected one device for each training, found the group" in capsys.readouterr().err
    )
