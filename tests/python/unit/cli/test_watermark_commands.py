"""`dlbc watermark detect | claim` and `dlbc audit`, on a market in memory: what they show, ask, write and refuse."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from dlbc import bootstrap
from dlbc.adapters.ml.weights import save_model
from dlbc.cli.main import run
from dlbc.core.errors import Refused
from fakes.chain import FakeChain
from fakes.copied import CopyWorld, HiddenTrainer, as_it_is
from fakes.keys import account
from fakes.storage import MemoryStorage

pytestmark = pytest.mark.unit

Told = Callable[..., dict[str, Any]]
COLUMNS = 80


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CopyWorld:
    """The commands see a market in memory, each as the account it names."""
    world = CopyWorld(tmp_path / "world")

    def no_journal(folder: Path, *, read_only: bool = False) -> Any:
        assert read_only, "these commands write no journal"
        raise Refused(f"there is no journal in {folder} yet")

    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        bootstrap, "chain", lambda config, keys=None, report=None: FakeChain(world.market, keys and keys.address)
    )
    monkeypatch.setattr(bootstrap, "keys", lambda config, ask=None: account(config.account or "nobody"))
    monkeypatch.setattr(bootstrap, "storage", lambda config: MemoryStorage(world.network))
    monkeypatch.setattr(bootstrap, "scorer", lambda **_: HiddenTrainer())
    monkeypatch.setattr(bootstrap, "journal", no_journal)
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


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command for a person; nothing is wider than a terminal."""

    def ask(name: str, *arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run([*arguments, *(["--account", name] if name else [])]) == code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert [line for line in out.splitlines() if len(line.rstrip()) > COLUMNS] == []
        return " ".join((out if code == 0 else err).split())

    return ask


def test_detect__all__tells_everything_in_json(world: CopyWorld, told: Told, tmp_path: Path) -> None:
    """Tests, thresholds, bounds after the union, what was aligned and what was not."""
    first, other = world.won(), world.won("other")
    file = tmp_path / "found.safetensors"
    save_model(world.stolen(first) | {"linears.1.bias": np.ones(10, np.float32)}, file)
    found = told("", "watermark", "detect", str(file), "--all", "--align", "never")
    counts = {name: found[name] for name in ("keys", "models", "tests", "aligned", "notAligned", "detected", "copies")}
    assert counts == {
        "keys": 2,
        "models": 2,
        "tests": 2,
        "aligned": 0,
        "notAligned": 1,
        "detected": 1,
        "copies": 0,
    }
    assert (found["verdict"], found["thresholds"]) == ("marked", {"blind": 10.53, "aligned": 13.32})
    best, worst = found["marks"]
    assert (best["taskId"], best["slot"], best["read"], best["meaning"]) == (first, 0, "blind", "carried")
    assert best["modelHash"] == "0x" + world.hash_of(first).hex()
    assert best["log2Bound"] == pytest.approx(best["log2FalsePositive"] + np.log2(6))
    assert (worst["taskId"], worst["isDetected"], worst["log2Bound"]) == (other, False, 0.0)


def test_detect__for_people__says_what_was_not_looked_at(world: CopyWorld, shown: Callable[..., str]) -> None:
    """A limit is never a clean bill."""
    first = world.won()
    world.won("other")
    file = Path("found.safetensors")
    save_model(world.stolen(first) | {"linears.1.bias": np.ones(10, np.float32)}, file)
    text = shown("", "watermark", "detect", str(file), "--all", "--align", "never")
    assert "aligned with 0 originals, not with 1: a copy with moved units may hide there" in text
    assert f"It carries the mark of model {world.hash_of(first).hex()}" in text
    assert "aligned with 1 originals." in shown("", "watermark", "detect", str(file), "--all")
    assert "is the settled model of task 1" not in text


def test_detect__nothing_to_look_for_or_at__says_so(
    world: CopyWorld, shown: Callable[..., str], tmp_path: Path
) -> None:
    """An empty ledger, then no file, then a file of other tensors."""
    file = tmp_path / "a.safetensors"
    save_model({"w": np.ones((2, 2), np.float32)}, file)
    assert "no mark to look for" in shown("", "watermark", "detect", str(file), "--all")
    world.won()
    assert "does not exist" in shown("", "watermark", "detect", "none", "--all", code=1)
    assert "the architecture of none of the 1 models" in shown("", "watermark", "detect", str(file), "--all", code=4)
    assert "has not the architecture of task 1" in shown("", "watermark", "detect", str(file), "--task", "1", code=4)


def test_claim__copy__is_published_and_written(world: CopyWorld, told: Told, tmp_path: Path) -> None:
    """One transaction; the file holds the key, which is public by then."""
    first = world.won()
    copy = world.opened_copy(first)
    evidence = tmp_path / "evidence.json"
    claim = ("watermark", "claim", "--model-hash", world.hash_of(first).hex(), "--task", str(copy), "-o", str(evidence))
    dry = told("owner", *claim, "--dry-run")
    assert (dry["published"], dry["sent"], dry["path"], evidence.exists()) == (False, [], None, False)
    assert "key" not in dry
    found = told("owner", *claim)
    assert ([sent["call"] for sent in found["sent"]], found["path"]) == (["revealSlot"], str(evidence))
    assert found["suspect"] == {"taskId": copy, "round": 0, "miner": account("thief").address}
    assert json.loads(evidence.read_text())["slot"] == found["slot"] == 1
    assert told("owner", *claim)["sent"] == []


def test_claim__for_people__names_the_next_step(world: CopyWorld, shown: Callable[..., str], tmp_path: Path) -> None:
    """The dispute, with the file."""
    first = world.won()
    copy = world.opened_copy(first)
    claim = ("watermark", "claim", "--model-hash", world.hash_of(first).hex(), "--task", str(copy))
    assert "Nothing was published" in shown("owner", *claim, "--dry-run")
    text = shown("owner", *claim, "-o", "evidence.json")
    assert f"dlbc auditor dispute {copy} --evidence evidence.json" in text
    assert (tmp_path / "evidence.json").is_file()


def test_claim__on_a_terminal__asks_before_the_slot_is_burnt(world: CopyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a yes nothing leaves; --yes says it beforehand."""
    first = world.won()
    copy = world.opened_copy(first)
    asked: list[str] = []

    def confirm(sentence: str, **_: Any) -> None:
        asked.append(sentence)
        raise click.Abort

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(click, "confirm", confirm)
    claim = ["watermark", "claim", "--model-hash", world.hash_of(first).hex(), "--task", str(copy), "-o", "e.json"]
    assert run([*claim, "--account", "owner"]) != 0
    assert (len(asked), world.market.slots, Path("e.json").exists()) == (1, [], False)
    assert run([*claim, "--account", "owner", "--yes"]) == 0
    assert (len(asked), len(world.market.slots)) == (1, 1)


def test_claim__no_evidence_or_nowhere_to_put_it__has_its_exit_code(
    world: CopyWorld, shown: Callable[..., str]
) -> None:
    """4 if nothing is found, 1 if it can't be, 2 if the command makes no sense; never a slot."""
    first, second = world.won(), world.won("other")
    claim = ("watermark", "claim", "--model-hash", world.hash_of(first).hex())
    assert "no slot of yours" in shown("owner", *claim, "--task", str(second), "-o", "e.json", code=4)
    assert "was settled by" in shown("other", *claim, "--task", str(second), "-o", "e.json", code=1)
    assert "a folder that exists" in shown("owner", *claim, "--task", str(second), "-o", "no/e.json", code=1)
    assert "say where the evidence goes" in shown("owner", *claim, "--task", str(second), code=2)
    assert "--round goes with --task" in shown("owner", *claim, "--round", "0", "--dry-run", code=2)
    assert "name what is a copy" in shown("owner", *claim, "--dry-run", code=2)
    assert world.market.slots == []


def test_audit__align_limit__is_told_in_what_was_found(world: CopyWorld, told: Told) -> None:
    """Voters may look further than the default."""
    first = world.won()
    copy = world.opened_copy(first)
    found = {}
    for limit, code in (("0", 0), ("1", 4)):
        audit = told("", "audit", str(copy), "--align-limit", limit, code=code)
        (found[limit],) = (check["found"] for check in audit["checks"] if check["name"] == "no other miner's mark")
        assert audit["grounds"] == ([] if limit == "0" else ["copied"])
    assert found["0"].endswith("0 aligned, 1 not looked at aligned")
    assert found["1"].endswith("aligned with the original")


def test_detect__plain_copy_as_task_and_digest__agree(world: CopyWorld, told: Told, tmp_path: Path) -> None:
    """Two ways to name one model."""
    first = world.won()
    second = world.taken(first, change=as_it_is)
    file = tmp_path / "second.safetensors"
    world.models().pull(world.models().settled(second), file)
    by_task = told("", "watermark", "detect", str(file), "--task", str(first))
    by_hash = told("", "watermark", "detect", str(file), "--model-hash", "0x" + world.hash_of(first).hex())
    assert by_task == by_hash
    assert by_task["copies"] == 1
    assert (by_task["verdict"], by_task["openedAs"]["taskId"]) == ("copy", second)
