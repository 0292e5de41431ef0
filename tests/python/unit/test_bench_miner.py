"""The miner's benchmark: what misses a limit is told, and a part of it never replaces the results."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "bench"))

from miner_parts import catch_up, idle, latency, listing, plots  # noqa: E402


@pytest.mark.parametrize(
    ("broken", "good", "bad"),
    [
        (
            catch_up.broken,
            {"events_per_second": 5_000, "tenth": {"grown_mib": 20.0}, "ours": {"grown_mib": 30.0}},
            {"events_per_second": 4_999},
        ),
        (
            catch_up.broken,
            {"events_per_second": 5_000, "tenth": {"grown_mib": 1.0}, "ours": {"grown_mib": 16.0}},
            {"ours": {"grown_mib": 16.1}},
        ),
        (
            listing.broken,
            {"all_in_training": {"seconds": 1.0}, "half_over": {"seconds": 0.9}},
            {"half_over": {"seconds": 1.1}},
        ),
        (latency.broken, {"worst_without_scoring_seconds": 2.0}, {"worst_without_scoring_seconds": 2.1}),
        (
            idle.broken,
            {"cpu_share": 0.01, "resident_mib": 250.0, "requests_per_second": 2.0},
            {"requests_per_second": 2.5},
        ),
    ],
)
def test_broken__a_figure_beyond_its_limit__is_one_sentence(broken: Any, good: Any, bad: Any) -> None:
    """What keeps its limit is silent, what misses it is told with the number."""
    assert broken(good) == []
    (told,) = broken(good | bad)
    assert any(digit in told for digit in "123456789")


@pytest.mark.parametrize(
    ("arguments", "written"), [([], "miner.json"), (["--quick"], "quick/miner.json"), (["--only", "idle"], None)]
)
def test_benchmark__quick_or_part_of_it__never_replaces_the_full_results(
    arguments: list[str], written: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the whole of it goes to the recorded file; over a limit the exit code is 1."""
    miner = _script("miner")
    monkeypatch.setattr(miner, "RESULTS", tmp_path)
    monkeypatch.setattr(
        miner,
        "MEASUREMENTS",
        {name: (lambda folder, quick: {"quick": quick}, lambda found: []) for name in ("idle", "catch_up")},
    )
    monkeypatch.setattr(plots, "can_plot", lambda: False)
    monkeypatch.setattr(sys, "argv", ["miner.py", *arguments])
    assert miner.main() == 0
    files = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.json")]
    assert files == ([written] if written else [])
    if written:
        assert json.loads((tmp_path / written).read_text())["idle"] == {"quick": bool(arguments)}
    monkeypatch.setattr(miner, "MEASUREMENTS", {"idle": (lambda folder, quick: {}, lambda found: ["too slow"])})
    assert miner.main() == 1


def _script(name: str) -> ModuleType:
    """A script of bench/ as a module, not run."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / "bench" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
