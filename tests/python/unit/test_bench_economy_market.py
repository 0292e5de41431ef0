"""The economy's market of agents: nothing is lost, a seed says everything, and bad arguments are refused."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from dlbc.cli.main import command
from dlbc.core.errors import Usage

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "bench"))

from economy_parts import (  # noqa: E402
    attacks,
    evolution,
    parameters,
    plots,
    population,
    report,
    sensitivity,
    sweeps,
    tables,
)
from economy_parts.books import Books  # noqa: E402
from economy_parts.census import figures  # noqa: E402
from economy_parts.court import POOL  # noqa: E402
from economy_parts.market import Market, Size  # noqa: E402
from economy_parts.population import Habits, Miner, Voter  # noqa: E402
from economy_parts.setting import ETHER, World, load_gas, load_rules  # noqa: E402

RULES, WORLD, GAS = load_rules(), World(), load_gas()
TINY = Size(miners=200, tasks=20, generations=3, auditors=20)


def played(seed: int = 0, size: Size = TINY, **changed: Any) -> Market:
    market = Market(size, changed.pop("rules", RULES), WORLD, GAS, seed, **changed)
    market.run()
    return market


# ---------------------------------------------------------------- money


def test_market__every_step__keeps_every_wei(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum of all wallets and escrows is zero after each single movement of money."""
    steps = 0

    def checked(name: str) -> None:
        move = getattr(Books, name)

        def step(self: Books, *arguments: Any) -> None:
            nonlocal steps
            move(self, *arguments)
            steps += 1
            self.check()

        monkeypatch.setattr(Books, name, step)

    for name in ("lock", "credit", "shift", "spend"):
        checked(name)
    played(size=Size(miners=40, tasks=6, generations=2, auditors=9))
    assert steps > 500


def test_market__when_everybody_has_left__holds_rounding_only() -> None:
    """No task keeps a wei; the pool keeps what no stake divides, and dividends that wait for a stake."""
    market = played()
    court = market.court
    assert [escrow for escrow, wei in market.books.escrows.items() if wei and escrow != POOL] == []
    for account in court.auditors:
        court.claim_dividends(account)
        court.unstake(account)
    assert market.books.escrows[POOL] == court.held() == court.waiting_wei
    market.books.check()


def test_market__every_task__ends_once() -> None:
    """Settled, void or aborted: the counts add up to the tasks."""
    market = played()
    counts = market.counts
    assert (
        TINY.tasks * TINY.generations
        == counts["settled"] + counts["settled, false"] + counts["void"] + counts["aborted"]
    )


# ---------------------------------------------------------------- seeds


def test_market__same_seed__same_figures() -> None:
    """Every draw follows from the seed."""
    first, again, other = (json.dumps(figures(played(seed))) for seed in (3, 3, 4))
    assert first == again != other


def test_evolve__same_seed__same_history() -> None:
    """Shares sum to one, and nobody vanishes."""
    first, again = (evolution.evolve(TINY, RULES, WORLD, GAS, 1) for _ in range(2))
    assert first == again
    for generation in range(TINY.generations):
        assert sum(first[kind.name.lower()][generation] for kind in population.MINERS) == pytest.approx(1, abs=1e-3)


# ---------------------------------------------------------------- agents


def test_choose__many_miners__no_task_is_left_alone() -> None:
    """Commits are public, so miners spread by pay for each competitor."""
    random = np.random.default_rng(0)
    ranks = np.array([1.0] * 10 + [3.0] * 10)
    commits = np.bincount(population.choose(random, ranks, 400), minlength=20)
    assert commits.min() > 0
    assert commits[10:].sum() / commits[:10].sum() == pytest.approx(3, rel=0.15)


def test_qualities__twice_as_fast__wins_in_proportion_to_its_skill() -> None:
    """A Tullock contest: 2^1.5 / (2^1.5 + 1) = 0.739 of the wins."""
    random = np.random.default_rng(0)
    kinds, speeds = np.zeros(2, dtype=np.int64), np.array([2.0, 1.0])
    wins = [
        int(np.argmax(population.qualities(random, Habits(), kinds, speeds, np.full(2, np.nan)))) == 0
        for _ in range(4_000)
    ]
    assert np.mean(wins) == pytest.approx(2**1.5 / (2**1.5 + 1), abs=0.02)


def test_pick__shares__are_kept_exactly() -> None:
    """As far as whole agents go."""
    kinds = population.pick(np.random.default_rng(0), {Miner.HONEST: 0.75, Miner.JUNK: 0.25}, 40)
    assert np.bincount(kinds, minlength=6)[[Miner.HONEST, Miner.JUNK]].tolist() == [30, 10]


def test_stakes__each_strategy__has_its_share() -> None:
    """Whatever the draws of single stakes are."""
    kinds = population.pick(np.random.default_rng(1), population.VOTERS, 60).tolist()
    stakes = population.stakes_of(np.random.default_rng(2), kinds, population.VOTERS, 100 * ETHER)
    ring = sum(wei for kind, wei in zip(kinds, stakes, strict=True) if kind == Voter.RING)
    assert ring == pytest.approx(10 * ETHER, rel=1e-6)


def test_market__somebody_always_looks__over_claimers_lose() -> None:
    """And if nobody looks they win every task in which they take part."""
    careful = played(habits=Habits(competitors=1, requesters=1, auditors=1, mistaken=0))
    blind = played(habits=Habits(competitors=0, requesters=0, auditors=0))
    assert careful.counts["settled, false"] == 0
    assert figures(careful)["miners"]["over_claimer"]["profit_ether"] < 0  # type: ignore[index]
    assert figures(blind)["miners"]["over_claimer"]["profit_ether"] > 0.1  # type: ignore[index]
    assert figures(blind)["caught_share"] == 0


def test_market__many_votes_at_once__lack_a_quorum_only_with_large_locks() -> None:
    """What is locked in one vote cannot vote in another: 20 % locks run out, 1 % locks do not."""
    crowded = replace(RULES, market=replace(RULES.market, vote_seconds=6 * 3_600))
    size = replace(TINY, miners=600, tasks=60)
    large, small = (played(size=size, rules=replace(crowded, lock_bps=bps)) for bps in (2_000, 100))
    assert large.counts["most votes at once"] > 5
    assert large.counts["false claim, no_quorum"] > 0
    assert small.counts["false claim, no_quorum"] == 0


def test_grown__strategy_above_the_mean__gains_share() -> None:
    """Replicator dynamics; shares sum to one and never fall below what tries it anyway."""
    shares = evolution.grown({Miner.HONEST: 0.5, Miner.RING: 0.5}, {Miner.HONEST: 1.0, Miner.RING: -1.0}, 1.0)
    assert shares[Miner.HONEST] > 0.5
    assert sum(shares.values()) == pytest.approx(1)
    assert min(evolution.grown(shares, {Miner.HONEST: 1e9, Miner.RING: -1e9}, 1.0).values()) > 0


# ---------------------------------------------------------------- the command


@pytest.fixture
def economy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script with a profile of seconds, writing into a folder of the test."""
    spec = importlib.util.spec_from_file_location("bench_economy", ROOT / "bench" / "economy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_economy", module)
    spec.loader.exec_module(module)
    short = replace(TINY, generations=1)
    monkeypatch.setattr(module, "QUICK", module.Profile("quick", short, short, short, short, 1))
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(module, "DEPOSITS", (1_000,))
    monkeypatch.setattr(sweeps, "MARKET_SWEEPS", {name: sweeps.MARKET_SWEEPS[name] for name in sweeps.CROWDED})
    monkeypatch.setattr(sensitivity, "HABITS", {"as assumed": Habits()})
    monkeypatch.setattr(sensitivity, "WORLDS", {})
    return module


def test_economy__quick__writes_results_and_figures_in_a_folder_of_their_own(
    economy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only a full run replaces what is committed; tables fit 80 columns; seconds and memory are told."""
    assert economy.main(["--quick"]) == 0
    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*")}
    assert {"quick/economy.json"} <= written <= {"quick/economy.json", "quick/economy.svg"}
    found = json.loads((tmp_path / "quick" / "economy.json").read_text())
    assert found["market"]["peak_mib"] > 0
    assert set(found) >= {"rules", "assumptions", "attacks", "parameters", "watching", "sensitivity", "evolution"}
    told = capsys.readouterr()
    assert max(map(len, told.out.splitlines())) <= 80 + len(str(tmp_path))
    assert "about" in told.err


@pytest.mark.parametrize("part", ["attacks", "parameters", "market"])
def test_economy__one_part__is_a_table_and_writes_nothing(
    economy: ModuleType, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For looking something up."""
    assert economy.main(["--quick", "--only", part]) == 0
    assert list(tmp_path.rglob("*.*")) == []
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 8
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "-1"], "--seed takes a whole number from 0 to 4294967295, found '-1'"),
        (["--seed", "two"], "--seed takes a whole number from 0 to 4294967295, found 'two'"),
        (["--miners", "3"], "--miners takes a whole number from 20 to 100000, found '3'"),
        (["--tasks", "1e9"], "--tasks takes a whole number from 10 to 10000, found '1e9'"),
        (["--only", "everything"], "invalid choice: 'everything'"),
        (["--out", "/dev/null/economy.json"], "--out takes a file in a folder that can be written"),
        (["--out", "/"], "--out takes a file in a folder that can be written"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_economy__bad_argument__is_one_sentence_and_usage(
    economy: ModuleType, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is played."""
    with pytest.raises(SystemExit) as ended:
        economy.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_bench__its_bad_argument__is_the_commands_usage() -> None:
    """`dlbc bench` ends with 2 where the measurement does."""
    result = CliRunner().invoke(command, ["bench", "economy", "--seed", "x"])
    assert isinstance(result.exception, Usage)
    assert "the benchmark economy ended with exit code 2" in str(result.exception)


def test_economy__other_size__does_not_replace_the_recorded_results(economy: ModuleType, tmp_path: Path) -> None:
    """A run of another size is told as such."""
    options = economy._options(["--miners", "500"])
    profile = economy._profile(options)
    assert (profile.market.miners, profile.market.tasks) == (500, 1_000)
    assert economy._out(options, profile) == tmp_path / "quick" / "economy.json"


def test_plots__without_matplotlib__are_left_out(
    economy: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line says so."""
    monkeypatch.setattr(plots, "can_plot", lambda: False)
    assert economy.main(["--quick", "--out", str(tmp_path / "here.json")]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["here.json"]
    assert "matplotlib is not installed" in capsys.readouterr().err


def test_economy__tables_of_nothing__says_what_to_run(economy: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to show before the first full run."""
    assert economy.main(["--only", "tables"]) == 1
    assert "run `dlbc bench economy` first" in capsys.readouterr().err


def test_documentation__every_table__is_what_was_recorded() -> None:
    """docs/economy.md quotes bench/results/economy.json to the digit."""
    recorded = json.loads((ROOT / "bench" / "results" / "economy.json").read_text())
    page = (ROOT / "docs" / "economy.md").read_text()
    assert [name for name, text in tables.all_of(recorded).items() if text not in page] == []


def test_recorded__attacks_and_parameters__are_what_the_code_gives() -> None:
    """Whoever changes a payout, gas or a default has to run the benchmark again."""
    recorded = json.loads((ROOT / "bench" / "results" / "economy.json").read_text())
    assert recorded["attacks"] == json.loads(json.dumps(attacks.table(RULES, WORLD, GAS)))
    for sweep in parameters.all_of(RULES):
        found = json.loads(json.dumps(sweeps.run(sweep, RULES, WORLD, GAS)))
        assert {key: recorded["parameters"][sweep.name][key] for key in found} == found


def test_table__columns__are_aligned_and_have_no_trailing_space() -> None:
    """The first to the left, the others to the right."""
    assert report.table(("a", "b"), [("x", 10), ("long", 2)]) == "a      b\n--------\nx     10\nlong   2"
