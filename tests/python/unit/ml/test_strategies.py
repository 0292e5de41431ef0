"""Training code of the operator's own, and the search: what comes back is marked, or refused in one sentence."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dlbc.adapters.ml.files import read_json
from dlbc.adapters.ml.loop import Loop
from dlbc.adapters.ml.strategies import loading, search
from dlbc.adapters.ml.strategies.search import drawn
from dlbc.adapters.ml.strategy_file import check_strategy
from dlbc.adapters.ml.task import Recipe
from dlbc.adapters.ml.trainer import TorchTrainer
from dlbc.adapters.ml.training import run
from dlbc.adapters.ml.weights import check_model
from dlbc.core import strategy_name, watermark
from dlbc.core.architecture import Architecture
from dlbc.core.errors import BadInput, Refused, Usage
from dlbc.ports import Dataset, TrainJob
from fakes.shards import write_shards

pytestmark = pytest.mark.unit

ARCHITECTURE = Architecture("mlp", (200,), 2, (200,))
GUIDE = Path(__file__).parents[4] / "docs" / "operators.md"


class Told:
    """Reports that are remembered."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def is_due(self) -> bool:
        return False

    def tell(self, **changes: object) -> None:
        self.told.append(changes)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 400)
    x = random.standard_normal((400, 200), dtype=np.float32) + y[:, None].astype(np.float32)
    work = tmp_path / "work"
    work.mkdir()
    return TrainJob(
        work=work,
        architecture=ARCHITECTURE,
        shards=write_shards(Dataset(x, y), tmp_path / "data"),
        epochs=3,
        batch=50,
        learning_rate=1e-3,
        device="cpu",
        seed=0,
        init_key=b"\x0a" * 32,
        slot_keys=(b"\x0c" * 32, b"\x0e" * 32),
        payloads=(b"\x04" * 32, b"\x05" * 32),
    )


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Puts a module of the operator's where Python finds it; gives its strategy's name."""
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    monkeypatch.setenv("DLBC_TORCH_THREADS", "1")

    def write(code: str) -> str:
        (folder / "my_code.py").write_text(code)
        sys.modules.pop("my_code", None)
        return "my_code:MyStrategy"

    yield write
    sys.modules.pop("my_code", None)


def returning(what: str) -> str:
    return f"import numpy as np\nclass MyStrategy:\n    def train(self, task):\n        return {what}\n"


def test_run__the_guides_example__trains_a_marked_model(job: TrainJob, mine: Callable[[str], str]) -> None:
    """The example that the operators' guide shows is run as it stands there."""
    code = GUIDE.read_text().split("```python\n", 1)[1].split("```", 1)[0]
    told = Told()

    result = run(replace(job, strategy=mine(code), budget=60.0), "job", told)

    weights = check_model(job.work / "model.safetensors", ARCHITECTURE, max_bytes=result["model_bytes"])
    assert result["strategy"] == "my_code:MyStrategy"
    assert result["validation_ppm"] > 850_000
    for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True)):
        assert watermark.detect(weights, key, slot, payload).is_detected
    assert any("loss" in one for one in told.told)


def test_run__a_module_is_returned__its_weights_are_taken(job: TrainJob, mine: Callable[[str], str]) -> None:
    """A torch module in the task's architecture will do, also compiled or on another precision."""
    name = mine(
        "from dlbc.adapters.ml.families import build, load_weights\n"
        "class MyStrategy:\n"
        "    def train(self, task):\n"
        "        module = build(task.architecture)\n"
        "        load_weights(module, task.start)\n"
        "        return module.double()\n"
    )

    result = run(replace(job, strategy=name), "job", Told())

    assert result["epochs"] == 0
    assert (job.work / "model.safetensors").exists()


def test_run__looks_for_the_slot_keys__finds_none_in_the_task(job: TrainJob, mine: Callable[[str], str]) -> None:
    """The keys are behind the marker: neither a field nor the text of the task has them."""
    name = mine(
        "from pathlib import Path\n"
        "class MyStrategy:\n"
        "    def train(self, task):\n"
        "        (task.work / 'seen').write_text(repr(task) + repr(vars(task)))\n"
        "        return task.start\n"
    )

    run(replace(job, strategy=name), "job", Told())

    seen = (job.work / "seen").read_text()
    for key in (job.init_key, *job.slot_keys):
        assert key.hex() not in seen
        assert repr(key) not in seen


BAD = [
    ("{}", BadInput, r"missing are \['linears.0.bias', 'linears.0.weight'.* unknown are none"),
    ("None", BadInput, "expected weights by name or a torch module, found NoneType"),
    ("{**task.start, 'more': 1}", BadInput, r"missing are none, unknown are \['more'\]"),
    ("{name: w + np.nan for name, w in task.start.items()}", BadInput, "expected finite values in linears.0.weight"),
    (
        "{name: w.T for name, w in task.start.items()}",
        BadInput,
        r"linears.1.weight of shape \[2, 200\], found \[200, 2\]",
    ),
    ("{name: 'x' for name in task.start}", BadInput, "expected numbers in linears.0.weight, found str"),
    ("1 / 0", Refused, r"its train\(\) failed: ZeroDivisionError: division by zero \(my_code.py, line 4\)"),
]


@pytest.mark.parametrize(("what", "error", "said"), BAD)
def test_run__a_strategy_that_is_wrong__ends_with_one_sentence(
    what: str, error: type[Exception], said: str, job: TrainJob, mine: Callable[[str], str]
) -> None:
    """What it returned or raised, and nothing is saved."""
    with pytest.raises(error, match=said) as caught:
        run(replace(job, strategy=mine(returning(what))), "job", Told())

    assert str(caught.value).startswith("strategy my_code:MyStrategy: ")
    assert "\n" not in str(caught.value)
    assert not (job.work / "model.safetensors").exists()


WRONG = [
    ("raise ValueError('not today')", "importing my_code fails: ValueError: not today"),
    ("import nothing_of_this_name", "importing my_code fails: ModuleNotFoundError"),
    ("MyStrategy = 3", r"expected a class MyStrategy with a method train\(task\) in my_code"),
    ("class MyStrategy:\n    train = 3", r"expected a class MyStrategy with a method train\(task\)"),
    (
        "class MyStrategy:\n    def __init__(self, x): pass\n    def train(self, task): pass",
        "expected it to be made without arguments: TypeError",
    ),
]


@pytest.mark.parametrize(("code", "said"), WRONG)
def test_find_strategy__a_module_that_is_wrong__says_what_was_expected(
    code: str, said: str, mine: Callable[[str], str]
) -> None:
    """Import errors, missing classes and constructors that want something."""
    with pytest.raises(Usage, match=said):
        loading.find_strategy(mine(code))


@pytest.mark.parametrize("name", ["", "mine", "a:b:c", "a.b", ":B", "a:", "../a:B", "a b:C", "default:"])
def test_check_strategy__no_name_of_a_strategy__is_a_usage_error(name: str) -> None:
    """Refused when the miner starts, not when a task is chosen."""
    with pytest.raises(Usage, match="expected default, search or a class as module:Class"):
        check_strategy(name)


def test_check_strategy__a_module_that_is_nowhere__says_where_it_was_looked_for() -> None:
    """Nothing is imported for the check."""
    with pytest.raises(Usage, match=r"expected a module nothing_of_this_name in .* or set PYTHONPATH"):
        check_strategy("nothing_of_this_name.sub:Class")
    for name in (*strategy_name.BUILT_IN, "json:JSONDecoder"):
        check_strategy(name)
    assert set(loading.CLASSES) == set(strategy_name.BUILT_IN)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "class MyStrategie: pass\n",
            "expected a class MyStrategy in .*, found none; did you mean my_code:MyStrategie",
        ),
        ("x = 1\n", "expected a class MyStrategy in .*my_code.py, found none$"),
        ("class MyStrategy:\n  def train(self task): pass\n", "my_code.py, line 2 is not valid Python: "),
    ],
)
def test_check_strategy__a_module_without_the_class__is_refused_at_the_start(
    code: str, said: str, mine: Callable[[str], str]
) -> None:
    """A misspelt class would make the miner give up every task it chooses."""
    with pytest.raises(Usage, match=said):
        check_strategy(mine(code))


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit\nclass MyStrategy: pass\n",
        "from elsewhere import MyStrategy\n",
        "from elsewhere import *\n",
        "try:\n  import x\nexcept ImportError:\n  from y import Other as MyStrategy\n",
        "MyStrategy = make()\n",
        "def __getattr__(name): ...\n",
    ],
)
def test_check_strategy__a_module_that_may_have_the_class__passes_without_being_run(
    code: str, mine: Callable[[str], str]
) -> None:
    """However the name gets there; whether it is a class with train(task) is seen when it trains."""
    check_strategy(mine(code))


def test_check_strategy__a_module_within_a_package__is_found(tmp_path: Path, mine: Callable[[str], str]) -> None:
    """The package is not imported either."""
    mine("")
    package = tmp_path / "mine" / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit\n")
    (package / "fast.py").write_text("class Fast: pass\n")

    check_strategy("own_package.fast:Fast")
    with pytest.raises(Usage, match=r"expected a module own_package\.slow in own_package, found none"):
        check_strategy("own_package.slow:Fast")


def test_start__a_strategy_that_hangs__is_stopped_after_its_budget(job: TrainJob, mine: Callable[[str], str]) -> None:
    """In its own process it can be ended; the sentence says how to keep to the budget."""
    name = mine("import threading\nclass MyStrategy:\n    def train(self, task):\n        threading.Event().wait()\n")
    handle = TorchTrainer(grace=0.0).start(replace(job, strategy=name, budget=8.0))
    deadline = time.monotonic() + 60.0
    try:
        while handle.poll().state in ("starting", "training"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        told = handle.poll()
    finally:
        handle.kill()

    assert told.state == "failed"
    assert "expected to end within 8 s, grace included" in told.message
    assert "return before task.seconds_left() is 0" in told.message


# ------------------------------------------------------------------ search


def test_search__a_bad_recipe__finds_a_better_one(job: TrainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate that hardly learns is left behind, and what was tried is told."""
    job = replace(job, strategy="search", epochs=4, learning_rate=1e-6)
    (job.work / "default").mkdir()
    without = run(replace(job, strategy="default", work=job.work / "default"), "job", Told())
    told = Told()

    result = run(job, "job", told)

    assert result["validation_ppm"] > without["validation_ppm"]
    assert len(result["trials"]) == 8 + 4 + 2
    assert result["recipe"]["learning_rate"] > 1e-6
    assert any("rung 2, trial 4 of 4" in str(one.get("message")) for one in told.told)


def test_search__broken_off__remembers_its_trials(job: TrainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill costs the trial that ran; the others are not tried again, and the result is the same."""
    job = replace(job, strategy="search", epochs=2)
    runs: list[Recipe] = []

    class Counted(Loop):
        most = 100

        def run(self) -> Any:
            if len(runs) == self.most:
                raise KeyboardInterrupt
            runs.append(self.task.recipe)
            return super().run()

    monkeypatch.setattr(search, "Loop", Counted)
    (job.work / "whole").mkdir()
    expected = run(replace(job, work=job.work / "whole"), "job", Told())
    assert len(runs) == 15
    runs.clear()
    Counted.most = 10
    with pytest.raises(KeyboardInterrupt):
        run(job, "job", Told())
    assert len(read_json(job.work / "search.json")["trials"]) == 10  # type: ignore[index]
    runs.clear()
    Counted.most = 100

    found = run(job, "job", Told())

    assert len(runs) == 5
    assert found["recipe"] == expected["recipe"]
    assert (job.work / "model.safetensors").read_bytes() == (job.work / "whole" / "model.safetensors").read_bytes()


def test_search__within_a_budget__spends_at_most_the_share_on_trials(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials are time-boxed so that most of the budget is left for the whole training."""
    deadlines: list[float] = []

    class Noted(Loop):
        def run(self) -> Any:
            deadlines.append(self.task.deadline)
            return super().run()

    monkeypatch.setattr(search, "Loop", Noted)

    run(replace(job, strategy="search", budget=1000.0), "job", Told())

    assert max(deadlines[:-1]) < deadlines[-1] - 0.5 * 1000
    assert json.loads(json.dumps(deadlines))


def test_drawn__a_seed__gives_the_same_recipes_around_the_tasks_own() -> None:
    """The first is the manifest's; the others stay within their bounds."""
    base = Recipe(epochs=10, batch=64, learning_rate=1e-3)

    recipes = drawn(base, 100, 1)

    assert recipes[0] == base
    assert recipes == drawn(base, 100, 1) != drawn(base, 100, 2)
    assert all(1e-3 / 8 <= recipe.learning_rate <= 8e-3 for recipe in recipes)
    assert {recipe.batch for recipe in recipes} <= {32, 64, 100}


# ------------------------------------------------------------------ the same bytes


@pytest.mark.parametrize("strategy", ["default", "search"])
def test_run__deterministic_twice__gives_the_same_bytes(strategy: str, job: TrainJob) -> None:
    """Same job, same machine, same threads: the same file; and torch's settings are put back."""
    job = replace(job, deterministic=True, strategy=strategy)
    files = []
    for name in ("first", "second"):
        (job.work / name).mkdir()
        run(replace(job, work=job.work / name), "job", Told())
        files.append((job.work / name / "model.safetensors").read_bytes())

    assert files[0] == files[1]
    assert not torch.are_deterministic_algorithms_enabled()


def test_run__deterministic_with_an_operation_that_is_not__is_refused(
    job: TrainJob, mine: Callable[[str], str]
) -> None:
    """Torch names the operation; a model that can't be repeated is not made."""
    name = mine(
        "import torch\n"
        "class MyStrategy:\n"
        "    def train(self, task):\n"
        "        torch.zeros(4).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]), accumulate=False)\n"
    )

    with pytest.raises(Refused, match="does not have a deterministic implementation"):
        run(replace(job, deterministic=True, strategy=name), "job", Told())
