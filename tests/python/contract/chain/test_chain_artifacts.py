"""What the wheel carries is what the sources give, by the settings Hardhat uses; figures are what is committed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from anvil_node import ROOT
from dlbc.adapters.chain import compile as compiler
from dlbc.core.errors import BadInput

pytestmark = pytest.mark.contract


def test_artifacts__compared_with_a_fresh_compile__agree(capsys: pytest.CaptureFixture[str]) -> None:
    """--check, the drift test: committed ABIs and bytecode are those of the sources. `make abi` repairs it."""
    assert compiler.main(["--check"]) == 0, capsys.readouterr().err


def test_artifacts__one_changed__is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale and a missing artifact are both reported."""
    fresh = {name: {"contractName": name} for name in compiler.SHIPPED}
    monkeypatch.setattr(compiler, "compile_contracts", lambda root: fresh)
    compiler.write(ROOT, tmp_path)
    assert compiler.drift(ROOT, tmp_path) == []
    (tmp_path / "MarketLens.json").write_text("{}")
    (tmp_path / "Errors.json").unlink()
    assert compiler.drift(ROOT, tmp_path) == ["MarketLens", "Errors"]


def test_compile__source_with_an_error__is_one_sentence(tmp_path: Path) -> None:
    """A source that does not compile is refused with the compiler's first error on one line."""
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    source = tmp_path / "Broken.sol"
    source.write_text("pragma solidity 0.8.37;\ncontract Broken { uint256 x = true; }\n")
    with pytest.raises(BadInput, match=r"solc: TypeError: .*Broken\.sol:2") as caught:
        compiler.compile_sources(tmp_path, [source])
    assert "\n" not in str(caught.value)


def test_settings__of_hardhat__are_ours() -> None:
    """hardhat.config.js and compile.py name the same compiler and settings, so their bytecode is the same."""
    script = (
        "import('./hardhat.config.js').then(c => console.log(JSON.stringify(c.default.solidity.compilers.map("
        "({version, settings}) => ({version, settings})))))"
    )
    node = Path(sys.executable).parent / "node"
    told = subprocess.run([node, "-e", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(told.stdout) == [{"version": compiler.SOLC_VERSION, "settings": compiler.SETTINGS}]


def test_gas__measured_again__is_what_is_committed() -> None:
    """bench/results/gas.json is up to date. `make gas` repairs it."""
    gas = _bench_gas()
    assert gas.render(gas.measure()) == gas.RESULTS.read_text()


def test_gas__over_a_limit__is_reported() -> None:
    """A call and a contract over their limits are named with both figures; others are not."""
    figures = {
        "calls": {"post": {"gas": 330_001, "limit": 330_000}, "open": {"gas": 1, "limit": 1}, "void": _row(9)},
        "contracts": {"TaskMarket": {"bytes": 22_001, "limit": 22_000}},
    }
    assert _bench_gas().broken_limits(figures) == [
        "post: 330001 gas, the limit is 330000",
        "TaskMarket: 22001 bytes, the limit is 22000",
    ]


def _row(gas: int) -> dict[str, int | None]:
    return {"gas": gas, "limit": None}


def _bench_gas() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_gas", ROOT / "bench" / "gas.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
