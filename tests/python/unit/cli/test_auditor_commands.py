"""`dlbc auditor …`, `dlbc audit --refute` and the views of disputes, on a market in memory."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from dlbc import bootstrap
from dlbc.cli.main import run
from dlbc.core.types import Ground, Phase, TaskId, Verdict
from dlbc.roles import entry_scoring
from fakes.chain import FakeChain
from fakes.clock import FakeClock
from fakes.keys import account
from fakes.pool import FakePool
from fakes.storage import MemoryStorage
from fakes.trainer import FakeTrainer
from fakes.world import World

pytestmark = pytest.mark.unit

ETHER = 10**18
Told = Callable[..., dict[str, Any]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The commands see a market in memory, each as the account it names."""
    world = World(tmp_path)

    def both(config: Any, keys: Any = None, report: Any = None) -> tuple[FakeChain, FakePool]:
        address = keys.address if keys is not None else None
        return FakeChain(world.market, address), FakePool(world.pool_state, address)

    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bootstrap, "chain_and_pool", both)
    monkeypatch.setattr(bootstrap, "chain", lambda config, keys=None, report=None: both(config, keys)[0])
    monkeypatch.setattr(bootstrap, "keys", lambda config, ask=None: account(config.account or "nobody"))
    monkeypatch.setattr(bootstrap, "account_address", lambda config, ask=None: account(config.account).address)
    monkeypatch.setattr(bootstrap, "storage", lambda config: MemoryStorage(world.network))
    monkeypatch.setattr(bootstrap, "trainer", FakeTrainer)
    monkeypatch.setattr(bootstrap, "scorer", lambda **_: FakeTrainer())
    monkeypatch.setattr(bootstrap, "journal", lambda folder: world.journal(folder.name))
    monkeypatch.setattr(bootstrap, "clock", lambda: FakeClock(lambda _: world.market.move_to_end_of_phase(1)))
    return world


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs a command as an account with --json, and gives its answer."""

    def ask(name: str, *arguments: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert run([*arguments, *(["--account", name] if name else []), "--json"]) == code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return dict(json.loads(out))

    return ask


def lie(world: World, monkeypatch: pytest.MonkeyPatch, how: Callable[[Any, Any], Any]) -> TaskId:
    """A task in its challenge, led by somebody whose claim is false."""
    task_id = world.post()
    with monkeypatch.context() as lying:
        lying.setattr(entry_scoring, "top1_scores", how)
        world.play(
            task_id, world.miner("liar", noise=20.0), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE
        )
    return task_id


def labels_as_predictions(predictions: Any, labels: Any) -> Any:
    """Only the opened model shows this lie."""
    predictions[:] = labels
    return np.ones(len(labels), np.int64)


def all_right(predictions: Any, labels: Any) -> Any:
    """The published predictions show this one."""
    return np.ones(len(labels), np.int64)


@pytest.mark.parametrize("amount", [("1.5 ether",), ("1.5", "ether"), ("1500000000000000000", "wei")])
def test_stake__amounts__are_read_with_and_without_quotes(world: World, told: Told, amount: tuple[str, ...]) -> None:
    """The same money however it is typed; the second time nothing is sent."""
    first = told("one", "auditor", "stake", *amount)
    assert (first["wei"], [call["call"] for call in first["sent"]]) == (15 * ETHER // 10, ["stake"])
    assert told("one", "auditor", "stake", *amount)["sent"] == []
    assert world.pool.stake_of(account("one").address).pending_wei == 15 * ETHER // 10


def test_stake__nonsense__is_refused_with_an_example(world: World, told: Told) -> None:
    """One line says what an amount looks like."""
    assert '"1.5 ether"' in told("one", "auditor", "stake", "much", code=2)["error"]["message"]


@pytest.mark.parametrize("amount", ["10", "1.5"])
def test_stake__no_unit__nobody_guesses_whether_it_is_wei(world: World, told: Told, amount: str) -> None:
    """Ten wei staked for ten ether would cost a day of unbonding."""
    assert f'Say "{amount} ether"' in told("one", "auditor", "stake", amount, code=2)["error"]["message"]
    assert world.pool.stake_of(account("one").address).pending_wei == 0


def test_stake__life_of_a_stake__exit_codes_tell_what_to_do(world: World, told: Told) -> None:
    """3 = later, 0 = done or done already."""
    told("one", "auditor", "stake", "1", "ether")
    assert told("one", "auditor", "activate", code=3)["error"]["retryable"]
    world.market.now += 6 * 3600
    assert told("one", "auditor", "activate")["wei"] == ETHER
    assert told("one", "auditor", "activate")["sent"] == []
    told("one", "auditor", "unstake", "1", "ether")
    told("one", "auditor", "finish", code=3)
    world.market.now += 86_400
    assert told("one", "auditor", "finish")["wei"] == ETHER
    assert told("one", "auditor", "dividends")["wei"] == 0


@pytest.mark.parametrize("answers", [(True, 0), (False, 1), (None, 130)])
def test_stake__on_a_terminal__asks_before_money_leaves(
    world: World, monkeypatch: pytest.MonkeyPatch, answers: tuple[bool | None, int]
) -> None:
    """No, or Ctrl-C, means that nothing is sent; --yes does not ask."""
    agrees, code = answers
    asked: list[str] = []

    def confirm(sentence: str, **_: Any) -> bool:
        asked.append(sentence)
        if agrees is None:
            raise click.Abort
        return agrees

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", confirm)
    assert run(["auditor", "stake", "1", "ether", "--account", "one"]) == code
    assert ([len(asked)], bool(world.market.transactions)) == ([1], bool(agrees))
    assert run(["auditor", "stake", "1", "ether", "--account", "two", "--yes"]) == 0
    assert len(asked) == 1


def test_dispute__to_the_end__by_commands_alone(world: World, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audit, dispute, vote with --wait, collect: each command says what it did, and twice is never paid twice."""
    world.staked("one")
    task_id = str(lie(world, monkeypatch, labels_as_predictions))
    assert told("", "audit", task_id, code=4)["grounds"] == ["score", "samples"]
    assert told("one", "auditor", "vote", task_id, "--verdict", "falls", code=1)["error"]["kind"] == "Refused"
    assert told("disputer", "auditor", "dispute", task_id)["wei"] == ETHER // 10
    assert told("disputer", "auditor", "dispute", task_id)["sent"] == []
    assert told("one", "auditor", "vote", task_id, "--verdict", "falls", code=3)["error"]["kind"] == "TryLater"
    (filing,) = told("", "auditor", "evidence", task_id)["filings"]
    assert ([check["name"] for check in filing["checks"]], filing["problem"]) == (
        ["score recomputed", "decisive samples"],
        "",
    )
    world.market.move_to_end_of_phase(1)
    assert told("one", "auditor", "vote", task_id, code=2)["error"]["kind"] == "Usage"
    cast = told("one", "auditor", "vote", task_id, "--verdict", "falls")
    assert (cast["step"], cast["verdict"], cast["lockWei"]) == ("committed", "falls", 2 * ETHER)
    (ballot,) = told("one", "auditor", "status")["ballots"]
    assert (ballot["next"], ballot["lockWei"]) == ("wait", 2 * ETHER)
    done = told("one", "auditor", "vote", task_id, "--wait")
    assert (done["step"], done["done"]) == ("finished", True)
    assert [call["call"] for call in done["sent"]] == ["revealVote", "advance", "collectVote", "withdraw"]
    assert told("disputer", "auditor", "collect", task_id)["wei"] == ETHER // 10 + ETHER // 30
    assert told("disputer", "auditor", "collect", task_id)["sent"] == []
    shown = told("", "task", "show", task_id)
    assert (shown["cases"][0]["ruling"], shown["strikes"][0]["reason"]) == ("falls", "voted")


def test_task_show__before_and_after_its_end__names_the_outcome(world: World, told: Told) -> None:
    """A name for scripts; the number that was told before stays where it was."""
    task_id = world.post()
    shown = told("", "task", "show", str(task_id))
    assert (shown["outcome"], shown["task"]["outcome"]) == (None, 0)
    world.play(task_id, world.miner())
    shown = told("", "task", "show", str(task_id))
    assert (shown["outcome"], shown["task"]["outcome"]) == ("settled", 1)


def test_dispute__bad_arguments__are_usage_or_refused(world: World, told: Told) -> None:
    """Unknown grounds are a wrong command line; a task that does not exist is not found."""
    assert told("one", "auditor", "dispute", "1", "--ground", "ugly", code=2)["error"]["kind"] == "Usage"
    for command in ("dispute", "impeach", "vote", "collect", "evidence"):
        assert told("one", "auditor", command, "7", code=1)["error"]["kind"] == "NotFound", command
    assert told("one", "auditor", "demand", "1", "--sample", "-1", code=2)["error"]["kind"] == "Usage"
    assert told("one", "auditor", "demand", "1", "--sample", "1", "--miner", "0x12", code=2)["error"]["kind"] == "Usage"


def test_refute__false_claim__says_what_it_earned(world: World, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command strikes it; then nothing is left to audit, and the exit code says that something was false."""
    task_id = str(lie(world, monkeypatch, all_right))
    found = told("me", "audit", task_id, "--refute", code=4)
    (claim,) = found["refuted"]["claims"]
    assert (claim["fault"], claim["struck"], found["audit"]) == ("wrong_score", True, "none")
    assert found["refuted"]["earnedWei"] == ETHER // 10 // 3
    assert told("me", "wallet", "balance")["creditWei"] == ETHER // 10 // 3
    assert told("me", "wallet", "withdraw")["withdrawnWei"] == ETHER // 10 // 3
    assert told("me", "wallet", "withdraw", code=1)["error"]["kind"] == "Refused"


def test_refute__for_people__says_it_in_words(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who, why, what it earned, and how to bring it home."""
    task_id = str(lie(world, monkeypatch, all_right))
    assert run(["audit", task_id, "--refute", "--account", "me"]) == 4
    out = " ".join(capsys.readouterr().out.split())
    assert "proves itself false (wrong score at sample" in out
    assert "earned 0.033333333333333333 ether; bring it home with `dlbc wallet withdraw`" in out


def test_refute__honest_claim__audits_as_ever(world: World, told: Told) -> None:
    """Exit code 0, and every check of the audit."""
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    found = told("me", "audit", str(task_id), "--refute")
    assert (found["audit"], found["refuted"]["claims"][0]["fault"]) == ("pass", None)
    assert told("me", "audit", str(task_id), "--refute", "--round", "0", code=2)["error"]["kind"] == "Usage"


def test_demand__once__asks_and_then_says_that_it_is_asked(world: World, told: Told) -> None:
    """A demand costs a bond once, and `task show` tells that it is open."""
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    assert told("me", "auditor", "demand", str(task_id), "--sample", "4")["wei"] == 5 * 10**15
    assert told("me", "auditor", "demand", str(task_id), "--sample", "4")["sent"] == []
    (demand,) = told("", "task", "show", str(task_id))["demands"]
    assert (demand["state"], demand["demand"]["index"]) == ("open", 4)


def test_impeach__right_test_set__is_refused_without_force(world: World, told: Told) -> None:
    """A bond is not lost by mistake."""
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.market.move_to_end_of_phase(task_id)
    world.requester().release(task_id)
    assert "add --force" in told("me", "auditor", "impeach", str(task_id), code=1)["error"]["message"]
    assert told("me", "auditor", "impeach", str(task_id), "--force")["wei"] == ETHER // 10
    assert told("", "auditor", "evidence", str(task_id))["filings"][0]["grounds"] == []


def test_evidence__with_a_file_attached__says_where_it_is(world: World, told: Told, tmp_path: Path) -> None:
    """What a filer paid to show, voters see."""
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    (tmp_path / "proof.txt").write_bytes(b"look at sample 3")
    world.disputer("disputer").dispute(task_id, Ground.COPIED, attachment=tmp_path / "proof.txt")
    ((attached,),) = [filing["attachments"] for filing in told("", "auditor", "evidence", str(task_id))["filings"]]
    assert (attached["bytes"], attached["cid"][:2]) == (16, "Qm")
    assert attached["sha256"] == hashlib.sha256(b"look at sample 3").hexdigest()


def test_evidence__hostile_bytes__are_told_and_never_shown(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evidence that is no evidence is a problem of its filer, not of the reader."""
    task_id = lie(world, monkeypatch, labels_as_predictions)
    world.disputer("disputer").dispute(task_id)
    (filing,) = world.pool.filings(task_id)
    world.network[filing.evidence] = b"\x1b[2J" + b"[" * 1000
    (row,) = told("", "auditor", "evidence", str(task_id))["filings"]
    assert "hash to" in row["problem"]
    assert run(["auditor", "evidence", str(task_id)]) == 0
    out = capsys.readouterr().out
    assert "Its evidence is of no use" in out
    assert "\x1b" not in out


def test_views__during_a_vote__say_what_is_at_stake_in_80_columns(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stake, open case, lock and ballots for people; a warning where the stake is too small for the bounty."""
    world.staked("one", wei=2 * ETHER)
    task_id = lie(world, monkeypatch, labels_as_predictions)
    world.disputer("disputer").dispute(task_id)
    world.market.move_to_end_of_phase(task_id)
    world.voter("one").step(task_id, Verdict.FALLS)
    capsys.readouterr()
    for arguments, words in (
        (
            ["auditor", "status", "--account", "one"],
            ["1.6 ether of 1.6 ether", "voting", "sealed", "0.4 ether", "wait"],
        ),
        (["task", "show", str(task_id)], ["Ballots, by what they risk", "Warning: the bounty of 1 ether", "open"]),
    ):
        assert run(arguments) == 0
        out = capsys.readouterr().out
        assert [word for word in words if word not in " ".join(out.split())] == []
        assert max(len(line.rstrip()) for line in out.splitlines()) <= 80
