"""The watermark's benchmark: its thieves do what they are said to, its metrics follow from curves made for them."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from dlbc.adapters.ml.evaluate import logits
from dlbc.adapters.ml.families import initial_weights
from dlbc.cli.main import command
from dlbc.core import watermark
from dlbc.core.alignment import align
from dlbc.core.architecture import Architecture, architecture_from_json
from dlbc.ports import Dataset

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "bench"))

from watermark_parts import attacks, cells, metrics, problems, report, tails  # noqa: E402
from watermark_parts.attacks import Attack, Loot  # noqa: E402
from watermark_parts.learner import Learner, Recipe, Weights, accuracy_of  # noqa: E402
from watermark_parts.metrics import Least, Point  # noqa: E402
from watermark_parts.problems import Problem, Setting  # noqa: E402
from watermark_parts.remembered import Remembering, forget  # noqa: E402
from watermark_parts.schemes import (  # noqa: E402
    KeyedSpreadSpectrum,
    Uchida,
    log2_binomial_tail,
    shift,
)
from watermark_parts.symmetries import disguised  # noqa: E402

NETS: dict[str, dict[str, Any]] = {
    "mlp": {"input_shape": [1, 8, 8], "hidden": [256, 96]},
    "cnn": {"input_shape": [2, 8, 8], "channels": [16, 32], "hidden": [256]},
    "resnet": {"input_shape": [1, 8, 8], "channels": [16, 64], "blocks": [2, 1]},
    "transformer": {"input_shape": [1, 4, 8], "width": 64, "heads": 4, "layers": 2},
}
CPU = torch.device("cpu")


def architecture_of(family: str) -> Architecture:
    return architecture_from_json({"family": family, "classes": 10, **NETS[family]})


def weights_for(family: str, seed: int = 1) -> Weights:
    """Initial weights whose norms and biases do something."""
    random = np.random.default_rng(seed)
    weights = initial_weights(architecture_of(family), bytes([seed]) * 32)
    for name, tensor in weights.items():
        if tensor.ndim == 1:
            tensor += random.uniform(-0.4 if not name.endswith("running_var") else 0.1, 0.5, tensor.shape)
    return weights


def problem_for(family: str, target: str = "", samples: int = 40) -> Problem:
    """Random images whose class is drawn."""
    random = np.random.default_rng(5)
    architecture = architecture_of(family)
    x = random.standard_normal((samples, *architecture.input_shape), dtype=np.float32)
    data = Dataset(x, random.integers(0, 10, samples))
    setting = Setting(NETS[family], epochs=2, budget=2, lengths=(2,), batch=16, target=target)
    return Problem("made", family, setting, architecture, data, data)


def point(epoch: int, accuracy: float, *, silent: bool, silent_blind: bool | None = None) -> Point:
    return Point(epoch, accuracy, silent, silent if silent_blind is None else silent_blind)


@pytest.mark.parametrize("family", NETS)
def test_disguise__every_family__computes_the_same_from_other_weights(family: str) -> None:
    """Logits agree to rounding while no matrix that carries is the same."""
    weights, architecture = weights_for(family), architecture_of(family)
    x = np.random.default_rng(2).standard_normal((20, *architecture.input_shape), dtype=np.float32)
    found = disguised(weights, architecture, np.random.default_rng(3))

    expected = logits(weights, architecture, x)
    assert np.abs(logits(found, architecture, x) - expected).max() < 1e-4 * np.abs(expected).max()
    for name, tensor in weights.items():
        if watermark.carries(name, tensor.shape):
            assert np.abs(found[name] - tensor).mean() > 0.1 * np.abs(tensor).mean()


@pytest.mark.parametrize("family", NETS)
def test_disguise__of_a_marked_net__hides_the_mark_until_it_is_aligned(family: str) -> None:
    """The thief's code and the verifier's share nothing, and the verifier undoes it."""
    problem, weights = problem_for(family), weights_for(family)
    mark = KeyedSpreadSpectrum(problem, "an owner")
    mark.finish(weights)
    found = disguised(weights, problem.architecture, np.random.default_rng(3))

    assert not mark.read(found).is_blind
    assert mark.read(align(found, weights, problem.architecture).weights).is_aligned


def test_uchida__mean_filter_that_solves_the_projection__reads_its_own_bits_and_no_others() -> None:
    """Another owner's projection reads about half of its bits wrong from the same weights."""
    problem, weights = problem_for("mlp", "linears.1.weight"), weights_for("mlp")
    mark, other = Uchida(problem, "an owner"), Uchida(problem, "another")
    projection, bits = mark._key
    mean = np.linalg.lstsq(projection, 2 * bits - 1, rcond=None)[0]
    weights["linears.1.weight"] += mean - weights["linears.1.weight"].mean(0)

    assert (mark.read(weights).wrong, mark.read(weights).log2_chance) == (0, -64.0)
    assert mark.read(weights).is_embedded
    assert 16 < other.read(weights).wrong < 48
    assert not other.read(weights).is_blind


def test_uchida__mean_centred__reads_nothing() -> None:
    """The attack that needs no key: with a mean of zero every projection is zero, and the ones are wrong."""
    problem, weights = problem_for("mlp", "linears.1.weight"), weights_for("mlp")
    mark = Uchida(problem, "an owner")
    projection, bits = mark._key
    mean = np.linalg.lstsq(projection, 2 * bits - 1, rcond=None)[0]
    weights["linears.1.weight"] += mean - weights["linears.1.weight"].mean(0)

    assert mark.read(weights).wrong == 0
    assert not mark.read(attacks.mean_centred(weights)).is_blind


def test_uchida__trained_on_with_its_penalty__can_be_read() -> None:
    """Two epochs at forty times the published weight are enough to be read."""
    problem = problem_for("mlp", "linears.1.weight", samples=320)
    mark = Uchida(problem, "an owner")
    learner = Learner(problem, weights_for("mlp"), Recipe(2), 0, CPU)
    assert not mark.read(learner.weights()).is_blind
    mark.attach(learner, factor=40.0)
    assert list(learner.epochs()) == [1, 2]
    assert mark.read(learner.weights()).is_blind


def test_mean_centring__our_mark__is_read_as_before() -> None:
    """Chips are as often +1 as -1, so the mean of a column holds next to none of them."""
    problem, weights = problem_for("mlp"), weights_for("mlp")
    mark = KeyedSpreadSpectrum(problem, "an owner")
    mark.finish(weights)
    before, after = mark.read(weights), mark.read(attacks.mean_centred(weights))
    assert before.strength is not None
    assert after.strength is not None
    assert after.strength > 0.95 * before.strength
    assert after.is_embedded


def test_attached_mark__after_training__is_in_the_weights() -> None:
    """The benchmark's loop projects at the last step as the trainer does."""
    problem = problem_for("mlp")
    mark = KeyedSpreadSpectrum(problem, "an owner")
    learner = Learner(problem, weights_for("mlp"), Recipe(1, one_cycle=True), 0, CPU)
    mark.attach(learner)
    assert list(learner.epochs()) == [1]
    assert mark.read(learner.weights()).is_embedded


def test_opened_slot__erased_by_its_key__leaves_the_secret_slot_alone() -> None:
    """Slot 0 reads nothing afterwards, the secret slot exactly what it read."""
    problem, weights = problem_for("mlp"), weights_for("mlp")
    mark = KeyedSpreadSpectrum(problem, "an owner")
    mark.finish(weights)
    before = mark.read(weights)
    mark.erase_opened(weights)
    assert abs(watermark.detect(weights, mark.keys[0], 0, mark.payloads[0]).strength) < 1
    assert before == mark.read(weights)


def test_shift__to_twice_gamma__is_a_projection_of_twice_the_strength() -> None:
    """With factor one it moves the weights exactly as the product's own projection does."""
    problem = problem_for("mlp")
    mark = KeyedSpreadSpectrum(problem, "a thief")
    once, twice, theirs = weights_for("mlp"), weights_for("mlp"), weights_for("mlp")
    for slot, (key, payload) in enumerate(zip(mark.keys, mark.payloads, strict=True)):
        watermark.embed(theirs, key, slot, payload)
        shift(once, key, slot, payload, lambda sums, gamma: np.maximum(gamma - sums, 0))
    mark.finish(twice, factor=2.0)
    for name, tensor in theirs.items():
        np.testing.assert_allclose(once[name], tensor, atol=2e-3 * np.abs(tensor).max())
    single, double = mark.read(theirs).strength, mark.read(twice).strength
    assert single is not None
    assert double is not None
    assert 1.8 < double / single < 2.1


def test_pruning__ninety_percent__zeroes_the_smallest_of_every_matrix() -> None:
    """Vectors stay as they are."""
    weights = weights_for("mlp")
    loot = Loot(weights, weights, weights)
    found = attacks.changed(Attack("prune", "90%", Recipe(0), 0.9), loot, problem_for("mlp"), "an owner", 0)
    for name, tensor in weights.items():
        if tensor.ndim == 1:
            np.testing.assert_array_equal(tensor, found[name])
        else:
            assert pytest.approx((found[name] == 0).mean(), abs=0.01) == 0.9
            assert np.abs(tensor[found[name] == 0]).max() <= np.abs(tensor[found[name] != 0]).min()


def test_quantisation__four_bits__leaves_fifteen_levels_a_row() -> None:
    """And moves no weight by more than half a level."""
    weights = weights_for("mlp")
    found = attacks.quantised(weights, 4)
    row, rounded = weights["linears.0.weight"][0], found["linears.0.weight"][0]
    assert len(np.unique(rounded)) <= 15
    assert np.abs(rounded - row).max() <= np.abs(row).max() / 14 * 1.0001


def test_mixing__two_models__is_their_weighted_mean() -> None:
    """Shrink and perturb and averaging are both this."""
    found = attacks.mixed({"w": np.float32([4, 8])}, {"w": np.float32([0, 4])}, 0.25)
    np.testing.assert_array_equal([1, 5], found["w"])


def test_distilling__begins__without_a_weight_of_the_original() -> None:
    """The student shares the teacher's labels only: its matrices don't correlate with the teacher's."""
    weights = weights_for("mlp")
    loot = Loot(weights, weights, weights)
    found = attacks.changed(Attack("distil", "", Recipe(1)), loot, problem_for("mlp"), "an owner", 0)
    correlation = np.corrcoef(found["linears.0.weight"].ravel(), weights["linears.0.weight"].ravel())[0, 1]
    assert abs(correlation) < 0.05


def test_plans__thin_and_full__have_every_kind_of_attack() -> None:
    """The quick profile leaves out parameters, never a kind; no run goes beyond the budget."""
    thin, full = (attacks.plan(8, (2, 4, 8), is_thin) for is_thin in (True, False))
    kinds = {"fine-tune", "fine-tune, one cycle", "prune", "shrink and perturb", "overwrite", "mean-centre"}
    kinds |= {"quantise", "disguise", "average", "erase the opened slot", "distil"}
    assert kinds == {attack.kind for attack in thin} == {attack.kind for attack in full}
    assert len(thin) < len(full)
    assert all(attack.recipe.epochs <= 8 for attack in full)
    fine_tuning = [attack.recipe for attack in full if attack.kind == "fine-tune"]
    assert {(rate, decay) for rate in (0.02, 0.2, 1, 4) for decay in (1, 10, 40)} == {
        (recipe.rate, recipe.decay) for recipe in fine_tuning
    }


def test_pixels__rearranged__are_all_there() -> None:
    """Squares become channels of one position, rows become tokens."""
    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    squares = problems.rearranged(image, (4, 2, 2))
    assert squares[0, :, 0, 0].tolist() == [0, 1, 4, 5]
    assert squares[0, :, 1, 1].tolist() == [10, 11, 14, 15]
    assert list(range(8)) == problems.rearranged(image, (1, 2, 8))[0, 0, 0].tolist()


def test_learner__parts_of_an_epoch__change_nothing_but_how_often_it_tells() -> None:
    """40 samples in batches of 16 are three steps: halves end after two and three of them."""
    problem = problem_for("mlp")
    whole, halves = (Learner(problem, weights_for("mlp"), Recipe(2), 4, CPU) for _ in range(2))
    assert list(whole.epochs()) == [1, 2]
    assert list(halves.epochs(2)) == [0.5, 1, 1.5, 2]
    for name, tensor in whole.weights().items():
        np.testing.assert_array_equal(tensor, halves.weights()[name])


def test_learner__equal_seeds__train_alike_and_accuracy_is_of_the_test_set() -> None:
    """Owners, thieves and retrainers are compared epoch by epoch, so nothing but the seed may decide."""
    problem = problem_for("cnn")
    learners = [Learner(problem, weights_for("cnn"), Recipe(1), 4, CPU) for _ in range(2)]
    weights = []
    for learner in learners:
        assert list(learner.epochs()) == [1]
        weights.append(learner.weights())
    for name, tensor in weights[0].items():
        np.testing.assert_array_equal(tensor, weights[1][name])
    right = logits(weights[0], problem.architecture, problem.test.x).argmax(1) == problem.test.y
    assert right.mean() == pytest.approx(accuracy_of(problem, weights[0], CPU))


def test_removal__silent_but_useless__does_not_count() -> None:
    """The first epoch that is both silent and accurate enough is the removal, blind or by the full verifier."""
    curve = [
        point(0, 0.30, silent=True),
        point(1, 0.99, silent=False),
        point(2, 0.97, silent=False, silent_blind=True),
        point(3, 0.97, silent=True),
    ]
    assert metrics.removed_at(curve, 0.965) == 3
    assert metrics.removed_at(curve, 0.965, is_blind=True) == 2
    assert metrics.removed_at(curve, 0.98) is None


def test_removal__already_without_training__takes_no_epoch() -> None:
    """What falls to a change alone has E_remove of zero, and R of zero."""
    least = metrics.least([None, 0, 4], budget=8)
    assert Least(0, 8) == least
    assert metrics.ratio(least, Least(4, 8)).value == 0.0


@pytest.mark.parametrize(
    ("remove", "scratch", "expected"),
    [
        (Least(6, 8), Least(4, 8), "1.5"),
        (Least(None, 8), Least(4, 8), "> 2.0"),
        (Least(None, 8), Least(None, 8), "–"),
        (Least(3, 8), Least(None, 8), "–"),
        (Least(None, 0), Least(4, 8), "–"),
    ],
)
def test_ratio__no_success_within_the_budget__is_a_lower_bound_or_nothing(
    remove: Least, scratch: Least, expected: str
) -> None:
    """Never a number that was not measured."""
    assert expected == str(metrics.ratio(remove, scratch))


@pytest.mark.parametrize(
    ("unmarked", "is_in", "expected"),
    [
        (0.975, (True, True, True), 0),
        (0.975, (False, True, True), 1),
        (0.975, (True, False, True), 2),
        (0.975, (True, True, False), None),
        (0.985, (True, True, True), None),
    ],
)
def test_embedding__from_the_epoch_on_that_it_stays__counts(
    unmarked: float, is_in: tuple[bool, ...], expected: int | None
) -> None:
    """A run that ends more than a point below unmarked at equal epochs has not embedded anything for free."""
    marks = list(zip(range(3), is_in, (0.1, 0.9, 0.97), strict=True))
    assert expected == metrics.embedded_at(marks, unmarked)


def test_removal__two_attacked_models__is_the_least_of_both_and_names_the_way() -> None:
    """R divides the least over all models by the least over all models, and stands for each beside it."""
    attack = Attack("prune", "90%", Recipe(8))
    quantise = Attack("quantise", "int8", Recipe(0))
    stolen = [
        (cells.Stolen("kss", 0, attack, [], 6, None), 6),
        (cells.Stolen("kss", 0, quantise, [], None, None), None),
        (cells.Stolen("kss", 1, attack, [], None, None), None),
    ]
    found = cells.removal(stolen, {0: Least(3, 8), 1: Least(2, 8)}, 8)
    assert found["all"]["each_remove"] == [6, None]
    assert found["all"]["each_ratio"] == [
        {"value": 2.0, "is_lower_bound": False},
        {"value": 4.0, "is_lower_bound": True},
    ]
    assert found["all"]["ratio"] == {"value": 3.0, "is_lower_bound": False}
    assert found["all"]["by"] == ["prune: 90%", None]
    assert found["fine_tuning"]["ratio"] == {"value": 4.0, "is_lower_bound": True}
    assert found["by_kind"]["quantise"]["ratio"]["value"] is None


def test_paired_difference__three_seeds__has_mean_and_standard_error() -> None:
    """(1, 2, 3) pp: mean 2, standard deviation 1, standard error 1/√3."""
    found = metrics.paired([0.51, 0.62, 0.73], [0.50, 0.60, 0.70])
    assert {"mean": 0.02, "standard_error": pytest.approx(0.00577, abs=1e-5)} == found


def test_binomial_tail__small_cases__is_exact() -> None:
    """P(at most 0 of 3) = 1/8, P(at most 1 of 2) = 3/4, and all bits wrong is certain."""
    assert log2_binomial_tail(3, 0) == -3
    assert np.log2(0.75) == pytest.approx(log2_binomial_tail(2, 1))
    assert log2_binomial_tail(128, 128) == 0


def test_tail__strengths_of_random_signs__lies_under_the_bound() -> None:
    """100,000 sums of 64 signs: no level is broken, and the counts are the ones asked for."""
    random = np.random.default_rng(1)
    strengths = random.choice([-1.0, 1.0], (100_000, 64)).sum(axis=1) / 8
    levels = tails.tail(strengths)
    assert tails.broken(levels) == []
    assert [int((strengths >= level.s).sum()) for level in levels] == [level.reached for level in levels]


def test_tail__a_detector_that_reads_too_much__is_broken() -> None:
    """Strengths with one and a half times the deviation exceed the bound where it bites."""
    strengths = 1.5 * np.random.default_rng(1).standard_normal(100_000)
    assert tails.broken(tails.tail(strengths))
    assert pytest.approx(replace(tails.Level(1.0, 3, 3), s=float(np.sqrt(2 * np.log(2)))).p_value) == 0.5**3


def test_results__written__are_the_same_values_with_lists_on_one_line(tmp_path: Path) -> None:
    """Long curves stay readable in a diff."""
    results = {"curve": {"epoch": [0, 1, 2], "log2": [-1.5, None, 0.0]}, "names": ["a [1]", "b"], "rows": [{"x": 1}]}
    report.write(tmp_path / "deep" / "results.json", results)
    text = (tmp_path / "deep" / "results.json").read_text()
    assert results == json.loads(text)
    assert '"epoch": [ 0, 1, 2 ]' in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "bench/results/watermark.json"),
        ({"quick": True}, "bench/results/quick/watermark.json"),
        ({"families": ["cnn"]}, "bench/results/quick/watermark.part.json"),
    ],
)
def test_benchmark__quick_or_part_of_it__never_replaces_the_full_results(
    changes: dict[str, Any], expected: str
) -> None:
    """Only a whole full run writes the committed file."""
    options = argparse.Namespace(**{"quick": False, "families": None, "datasets": None} | changes)
    assert ROOT / expected == script("watermark")._default_out(options)


def test_bench_command__a_name_with_options__passes_them_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """--json is dlbc's own; what dlbc does not know goes to the script in the order given."""
    calls: list[list[str]] = []

    def ran(command: list[str], **more: Any) -> subprocess.CompletedProcess[bytes]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("dlbc.cli.bench.subprocess.run", ran)
    found = CliRunner().invoke(command, ["bench", "watermark", "--quick", "--seed", "3", "--json"])
    assert json.loads(found.output) == {"ran": ["watermark"]}
    assert [[sys.executable, str(ROOT / "bench" / "watermark.py"), "--quick", "--seed", "3"]] == calls


def test_bench_command__all_with_options__is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two benchmarks take the same options."""
    monkeypatch.setattr("dlbc.cli.bench.subprocess.run", None)
    found = CliRunner().invoke(command, ["bench", "all", "--quick"])
    assert "dlbc bench all takes no options, found '--quick'" in str(found.exception)


def test_bench_command__help_of_a_benchmark__is_the_scripts_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dlbc bench NAME --help` says what NAME takes; without a name, bench tells about itself and lists all."""
    calls: list[list[str]] = []

    def ran(command: list[str], **more: Any) -> subprocess.CompletedProcess[bytes]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("dlbc.cli.bench.subprocess.run", ran)
    of_one, of_all = (CliRunner().invoke(command, ["bench", *given, "--help"]) for given in (["miner"], []))
    assert [[sys.executable, str(ROOT / "bench" / "miner.py"), "--help"]] == calls
    assert of_one.output == ""
    assert "Run the measurement NAME" in of_all.output

    listed = CliRunner().invoke(command, ["bench"]).output
    assert "miner                      How fast and how big a miner's client is\n" in listed
    assert max(len(line) for line in listed.splitlines()) <= 80


def script(name: str) -> ModuleType:
    """A script of bench/ as a module, not run."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / "bench" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_remembering__the_same_run_again__is_not_run_and_another_is(tmp_path: Path) -> None:
    """An interrupted grid goes on where it was, and never takes one run's result for another's."""
    calls: list[float] = []

    def run(cell: str, weights: Weights, amount: float) -> float:
        calls.append(amount)
        if amount < 0:
            raise ValueError(cell)
        return amount * 2

    folder = tmp_path / "runs"
    weights = {"a": np.ones(3, np.float32)}
    with ThreadPoolExecutor(1) as pool:
        for expected_calls in (2, 2):  # by a later process: nothing but the folder is common to both
            remembering = Remembering(pool, folder)
            assert remembering.submit(run, "cell", weights, 1.5).result() == 3.0
            assert remembering.submit(run, "cell", weights, 2.5).result() == 5.0
            assert len(calls) == expected_calls
        other = {"a": np.zeros(3, np.float32)}
        assert remembering.submit(run, "cell", other, 1.5).result() == 3.0
        assert len(calls) == 3
        for _ in range(2):  # what failed is not remembered
            with pytest.raises(ValueError, match="cell"):
                remembering.submit(run, "cell", weights, -1.0).result()
        assert len(calls) == 5
    (folder / "mine.txt").write_text("kept")
    forget(folder)
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]
