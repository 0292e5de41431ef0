"""Pulling settled models in several forms, on a market in memory: whole or not there, and nobody's files touched."""

from __future__ import annotations

import json
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from dlbc.core.errors import DlbcError, NotFound, Refused, Unavailable, Usage, VerificationFailed
from dlbc.core.hashing import sha256
from dlbc.core.task_file import TaskFile
from dlbc.core.types import TaskId
from dlbc.roles.artifacts import file_sha256
from dlbc.roles.exporting import FOLDER_FILES, Exporter, Written
from dlbc.roles.models import Models, OpenedModel
from fakes.copied import CopyWorld, as_it_is
from fakes.exports import FakeExports
from fakes.keys import account
from fakes.storage import MemoryStorage
from fakes.trainer import FakeTrainer
from fakes.world import Crash, World

pytestmark = pytest.mark.unit


class LicensedWorld(World):
    """Its tasks name a licence."""

    @property
    def task_file(self) -> TaskFile:
        return replace(super().task_file, license="CC-BY-4.0")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    (tmp_path / "world").mkdir()
    return LicensedWorld(tmp_path / "world")


@pytest.fixture
def settled(world: World) -> TaskId:
    """One task, won by an honest miner."""
    task_id = world.post()
    world.play(task_id, world.miner())
    return task_id


@pytest.fixture
def exporter(world: World) -> Exporter:
    """With an ONNX that needs no torch."""
    return Exporter(world.models(), FakeExports())


@pytest.fixture
def model(exporter: Exporter, settled: TaskId) -> OpenedModel:
    """What was won."""
    return exporter.models.settled(settled)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where a user works; the folder of a pull is not there yet."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here" / "model"


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and its bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def broken(world: World, model: OpenedModel, error: BaseException) -> Exporter:
    """Its storage fails when the sealed weights are fetched."""

    class Failing(MemoryStorage):
        def fetch(self, locator: Any, *, max_bytes: int, timeout: float = 60.0) -> bytes:
            if locator == model.claim.proof.sealed_model:
                raise error
            return super().fetch(locator, max_bytes=max_bytes, timeout=timeout)

    return Exporter(Models(world.onlooker, Failing(world.network), FakeTrainer()), FakeExports())


def forged(model: OpenedModel) -> OpenedModel:
    """A model whose bytes are not what the ledger records."""
    proof = replace(model.claim.proof, model_hash=model.manifest.shards[0].sha256)
    return replace(model, claim=replace(model.claim, proof=proof))


# ---------------------------------------------------------------- the folder


def test_folder__settled_task__has_the_recorded_weights_and_what_describes_them(
    exporter: Exporter, model: OpenedModel, out: Path, world: World
) -> None:
    """Byte for byte the ledger's file; configuration, card and loader beside it; every file told with its hash."""
    files = exporter.folder(model, out)

    assert {file.name for file in out.iterdir()} == set(FOLDER_FILES) == {file.path.name for file in files}
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    for file in files:
        data = file.path.read_bytes()
        assert file == Written(out / file.path.name, len(data), sha256(data))
    assert file_sha256(out / "model.safetensors") == model.model_hash
    assert exporter.models.verify_file(model, out / "model.safetensors").passed
    config = json.loads((out / "config.json").read_text())
    header = world.onlooker.blocks()[-1]
    assert config["dlbc"]["model_hash"] == model.model_hash.hex()
    assert config["dlbc"]["block_hash"] == "0x" + world.onlooker.block_hash(header.height).hex()
    assert (config["license"], config["score_ppm"]) == ("CC-BY-4.0", header.score_ppm)
    card = (out / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "cc-by-4.0"
    assert f"{header.total:,} of 40 held-out samples" in card
    assert account("miner").address in card
    assert (out / "load.py").read_bytes() == b"# builds mlp\n"


def test_folder__pulled_again__is_left_as_it_is(exporter: Exporter, model: OpenedModel, out: Path) -> None:
    """The same pull may be repeated: nothing is written or fetched twice, the same is told."""
    first = exporter.folder(model, out)
    before = state(out.parent)
    assert exporter.folder(model, out) == first
    assert state(out.parent) == before


@pytest.mark.parametrize("lost", FOLDER_FILES[1:])
def test_folder__file_missing__is_completed(exporter: Exporter, model: OpenedModel, out: Path, lost: str) -> None:
    """What is there and right stays."""
    files = exporter.folder(model, out)
    (out / lost).unlink()
    assert exporter.folder(model, out) == files


def test_folder__empty_folder__is_filled(exporter: Exporter, model: OpenedModel, out: Path) -> None:
    """Nobody has anything to lose in it."""
    out.mkdir()
    assert {file.path.name for file in exporter.folder(model, out)} == set(FOLDER_FILES)


def test_folder__more_files_in_a_pulled_one__stay(exporter: Exporter, model: OpenedModel, out: Path) -> None:
    """Notes, an ONNX file, a repository: whatever the user put beside."""
    exporter.folder(model, out)
    (out / "notes.txt").write_text("mine")
    exporter.folder(model, out)
    assert (out / "notes.txt").read_text() == "mine"


def foreign_folder(out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")


def foreign_config(out: Path) -> None:
    out.mkdir()
    (out / "config.json").write_text("{}")


def a_file(out: Path) -> None:
    out.write_text("mine")


def edited_card(out: Path) -> None:
    (out / "README.md").write_text("# My own words\n")


def other_loader(out: Path) -> None:
    (out / "load.py").write_text("import os\n")


def other_weights(out: Path) -> None:
    (out / "model.safetensors").write_bytes(b"fine-tuned")


def folder_in_the_way(out: Path) -> None:
    (out / "README.md").unlink()
    (out / "README.md").mkdir()


@pytest.mark.parametrize(
    ("put", "sentence"),
    [
        (foreign_folder, "model is there already and is no folder of this model; name a new or an empty one"),
        (foreign_config, "model is there already and is no folder of this model; name a new or an empty one"),
        (a_file, "model is there already and is no folder; name a new one"),
    ],
)
def test_folder__somebody_else_s__is_refused_and_untouched(
    exporter: Exporter, model: OpenedModel, out: Path, put: Callable[[Path], None], sentence: str
) -> None:
    """One sentence; not a byte is changed, and nothing is left beside it."""
    put(out)
    before = state(out.parent)
    with pytest.raises(Refused, match=sentence):
        exporter.folder(model, out)
    assert state(out.parent) == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (edited_card, "README.md is not as this pull would write it; move it away or name another folder"),
        (other_loader, "load.py is not as this pull would write it"),
        (other_weights, "model.safetensors is there already with sha256 .*; move it away or name another file"),
        (folder_in_the_way, "README.md is not as this pull would write it"),
    ],
)
def test_folder__changed_since__is_refused_and_untouched(
    exporter: Exporter, model: OpenedModel, out: Path, change: Callable[[Path], None], sentence: str
) -> None:
    """What a user edited is not written over, not even with what was there before."""
    exporter.folder(model, out)
    change(out)
    before = state(out.parent)
    with pytest.raises(Refused, match=sentence):
        exporter.folder(model, out)
    assert state(out.parent) == before


def test_folder__another_task_s__is_refused(world: World, exporter: Exporter, model: OpenedModel, out: Path) -> None:
    """A folder belongs to one model."""
    exporter.folder(model, out)
    before = state(out)
    requester = world.requester()
    requester.forget(requester.prepare(world.task_file, world.folder))
    second = requester.post(requester.prepare(world.task_file, world.folder))[0]
    world.play(second, world.miner("other"))
    with pytest.raises(Refused, match="no folder of this model"):
        exporter.folder(exporter.models.settled(second), out)
    assert state(out) == before


@pytest.mark.parametrize("error", [Unavailable("nobody served it"), Crash("killed"), KeyboardInterrupt()])
def test_folder__fetch_fails__leaves_nothing(
    world: World, exporter: Exporter, model: OpenedModel, out: Path, error: BaseException
) -> None:
    """No half folder under any name; the next pull is as good as the first."""
    with pytest.raises(type(error)):
        broken(world, model, error).folder(model, out)
    assert list(out.parent.iterdir()) == []
    exporter.folder(model, out)


def test_folder__process_killed__leaves_no_folder_and_the_next_pull_is_whole(
    world: World, exporter: Exporter, model: OpenedModel, out: Path
) -> None:
    """SIGKILL while the weights arrive: nobody cleans up, and still nothing half stands under the name."""

    class Fatal(MemoryStorage):
        def fetch(self, locator: Any, *, max_bytes: int, timeout: float = 60.0) -> bytes:
            if locator == model.claim.proof.sealed_model:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().fetch(locator, max_bytes=max_bytes, timeout=timeout)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: the child makes none and ends
        child = os.fork()
    if child == 0:
        try:
            Exporter(Models(world.onlooker, Fatal(world.network), FakeTrainer()), FakeExports()).folder(model, out)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [path.name for path in out.parent.iterdir()] == [".model.unfinished"]
    exporter.folder(model, out)
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    assert {file.name for file in out.iterdir()} == set(FOLDER_FILES)


def test_folder__left_by_a_killed_pull__is_recognised_by_its_names(
    exporter: Exporter, model: OpenedModel, out: Path
) -> None:
    """Whatever point it was killed at."""
    left = out.with_name(".model.unfinished")
    left.mkdir()
    for name in ("config.json", "model.safetensors.unverified", "model.safetensors.unverified.partial"):
        (left / name).write_bytes(b"half")
    exporter.folder(model, out)
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    assert {file.name for file in out.iterdir()} == set(FOLDER_FILES)


def test_folder__foreign_files_where_it_is_made__are_refused_and_untouched(
    exporter: Exporter, model: OpenedModel, out: Path
) -> None:
    """A name of ours is no licence to delete."""
    left = out.with_name(".model.unfinished")
    left.mkdir()
    (left / "thesis.tex").write_text("years of work")
    with pytest.raises(Refused, match="in the way and holds what no pull has written"):
        exporter.folder(model, out)
    assert (left / "thesis.tex").read_text() == "years of work"
    assert not out.exists()


def test_folder__empty_folder_and_killed_half_way__is_completed(
    world: World, exporter: Exporter, model: OpenedModel, out: Path
) -> None:
    """A folder that was there can't appear whole; what is in it says whose it is, and each file is whole."""
    out.mkdir()
    with pytest.raises(Crash):
        broken(world, model, Crash("killed")).folder(model, out)
    assert {file.name for file in out.iterdir()} == {"config.json"}
    exporter.folder(model, out)
    assert {file.name for file in out.iterdir()} == set(FOLDER_FILES)


@pytest.mark.parametrize("form", ["folder", "onnx", "safetensors"])
def test_export__bytes_not_the_recorded_model__writes_nothing(
    exporter: Exporter, model: OpenedModel, out: Path, form: str
) -> None:
    """Nothing unverified is ever written, in no form."""
    with pytest.raises(VerificationFailed):
        getattr(exporter, form)(forged(model), out)
    assert list(out.parent.iterdir()) == []


def test_export__ledger_block_of_another_model__is_refused(
    world: World, exporter: Exporter, model: OpenedModel, out: Path
) -> None:
    """A card never names a block that is not the model's."""
    header = world.market.blocks[-1]
    world.market.blocks[-1] = replace(header, miner=account("thief").address)
    with pytest.raises(VerificationFailed, match="ledger block 0: expected task 1, round 0 and its winner"):
        exporter.folder(model, out)
    world.market.blocks.clear()
    with pytest.raises(NotFound, match="log does not show ledger block 0"):
        exporter.folder(model, out)


@pytest.mark.parametrize("form", ["folder", "onnx", "safetensors"])
def test_export__place_that_can_t_be_written__one_sentence(
    exporter: Exporter, model: OpenedModel, out: Path, form: str
) -> None:
    """A file where a folder has to be."""
    out.write_text("mine")
    with pytest.raises(Refused, match="can't be written"):
        getattr(exporter, form)(model, out / "in" / "it")
    assert out.read_text() == "mine"


def test_facts__declared_parents__are_the_lineage_and_the_royalty(tmp_path: Path) -> None:
    """Back to the root, with what the nearest parent's miner was paid."""
    world = CopyWorld(tmp_path)
    first = world.won()
    second = world.taken(first, name="heir", change=as_it_is, parent=first)
    exporter = Exporter(world.models(), FakeExports())
    facts = exporter.facts(exporter.models.settled(second))
    assert [(each.task_id, each.miner) for each in facts.lineage] == [(first, account("owner").address)]
    assert facts.royalty_wei > 0
    assert facts.license == ""


# ---------------------------------------------------------------- one file of weights


def test_safetensors__pulled_again__is_left_as_it_is(exporter: Exporter, model: OpenedModel, out: Path) -> None:
    """Weights and architecture, told with their hashes, both times the same."""
    output = out.with_suffix(".safetensors")
    files = exporter.safetensors(model, output)
    assert [file.path.name for file in files] == ["model.safetensors", "model.json"]
    assert files[0].sha256 == model.model_hash
    before = output.stat().st_mtime_ns
    assert exporter.safetensors(model, output) == files
    assert output.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["model.safetensors", "x.bin"])
def test_safetensors__other_bytes_there__are_left_alone(
    exporter: Exporter, model: OpenedModel, out: Path, name: str
) -> None:
    """Whatever they are: the user may want them."""
    output = out.with_name(name)
    output.write_bytes(b"precious")
    with pytest.raises(Refused, match="is there already with sha256"):
        exporter.safetensors(model, output)
    assert state(out.parent) == {name: (output.stat().st_mtime_ns, b"precious")}


@pytest.mark.parametrize(
    ("name", "sentence"), [(".", "is a folder; name a file in it"), ("model.json", "would be overwritten")]
)
def test_safetensors__name_that_can_t_hold_weights__is_refused(
    exporter: Exporter, model: OpenedModel, out: Path, name: str, sentence: str
) -> None:
    """A folder, or the name that the architecture takes."""
    with pytest.raises(Refused, match=sentence):
        exporter.safetensors(model, out.parent / name)
    assert list(out.parent.iterdir()) == []


def test_safetensors__progress__counts_to_its_end(world: World, settled: TaskId, out: Path) -> None:
    """A bar that begins, grows and is full."""
    seen: list[tuple[str, int, int]] = []
    models = Models(
        world.onlooker, MemoryStorage(world.network), FakeTrainer(), progress=lambda *told: seen.append(told)
    )
    models.pull(models.settled(settled), out)
    done = [count for what, count, _ in seen if what == "fetching the model"]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, seen[0][2])


# ---------------------------------------------------------------- ONNX


def test_onnx__settled_task__is_made_of_the_verified_weights(exporter: Exporter, model: OpenedModel, out: Path) -> None:
    """With the ledger's record as metadata; repeated, it stays as it is."""
    (file,) = exporter.onnx(model, out)
    value = json.loads(out.read_bytes())
    assert value["about"]["model_hash"] == model.model_hash.hex()
    assert (value["about"]["task"], value["about"]["block_height"]) == ("1", "0")
    before = state(out.parent)
    assert exporter.onnx(model, out) == [file]
    assert state(out.parent) == before


def test_onnx__other_file_there__is_left_alone(world: World, exporter: Exporter, model: OpenedModel, out: Path) -> None:
    """Also one of the same model that another version converted; what is no such file is told at once."""
    with pytest.raises(Refused, match="is a folder"):
        exporter.onnx(model, out.parent)
    exporter.onnx(model, out)
    before = state(out.parent)
    with pytest.raises(Refused, match="is there already with sha256"):
        Exporter(exporter.models, FakeExports(graph="newer")).onnx(model, out)
    assert state(out.parent) == before
    out.write_bytes(b"precious")
    world.network.clear()
    with pytest.raises(Refused, match="is there already and is no ONNX file of this model"):
        exporter.onnx(model, out)
    assert out.read_bytes() == b"precious"


def test_onnx__package_missing__is_said_before_anything_is_fetched(world: World, model: OpenedModel, out: Path) -> None:
    """A usage error: the user can install it, or take another form."""
    world.network.clear()
    lacking = Exporter(world.models(), FakeExports(missing=True))
    with pytest.raises(Usage, match="ONNX needs the package"):
        lacking.onnx(model, out)
    with pytest.raises(Usage, match="ONNX needs the package"):
        lacking.verify(model, written(out, b"{}"))


def written(out: Path, data: bytes) -> Path:
    """An .onnx file of these bytes."""
    file = out.with_suffix(".onnx")
    file.write_bytes(data)
    return file


def failing(exporter: Exporter, model: OpenedModel, file: Path) -> set[str]:
    """Names of the checks that fail."""
    return {check.name for check in exporter.verify(model, file).done if not check.ok}


def test_verify__onnx_file_of_the_model__passes_and_every_change_fails_its_check(
    exporter: Exporter, model: OpenedModel, out: Path
) -> None:
    """Weights, metadata and graph are compared, each by itself."""
    (file,) = exporter.onnx(model, out.with_suffix(".onnx"))
    assert exporter.verify(model, file.path).passed
    value = json.loads(file.path.read_bytes())
    for part, change in (
        ("weights", {"tensors": value["tensors"] | {"linears.0.bias": "00"}}),
        ("weights", {"tensors": {}}),
        ("weights", {"tensors": value["tensors"] | {"more": "00"}}),
        ("metadata", {"about": value["about"] | {"task": "2"}}),
        ("graph", {"graph": "another"}),
    ):
        assert failing(exporter, model, written(out, json.dumps(value | change).encode())) == {part}
    assert failing(exporter, model, written(out, b"no ONNX")) == {"ONNX file"}
    assert failing(exporter, model, written(out, b"0" * (2**24 + model.manifest.model_bytes + 1))) == {"ONNX file"}


def test_verify__onnx_file_that_is_not_there__is_not_found(exporter: Exporter, model: OpenedModel, out: Path) -> None:
    """As for any other file."""
    with pytest.raises(NotFound, match="does not exist"):
        exporter.verify(model, out.with_suffix(".onnx"))


# ---------------------------------------------------------------- verifying a folder


def test_verify__pulled_folder__checks_its_weights(exporter: Exporter, model: OpenedModel, out: Path) -> None:
    """Digest, architecture and mark, as for the file alone."""
    exporter.folder(model, out)
    checks = exporter.verify(model, out)
    assert checks.passed
    assert {"sha256 of the weights", "watermark slot 0"} <= {check.name for check in checks.done}
    other_weights(out)
    assert "sha256 of the weights" in {check.name for check in exporter.verify(model, out).done if not check.ok}
    shutil.rmtree(out)
    out.mkdir()
    with pytest.raises(DlbcError, match=r"model\.safetensors does not exist"):
        exporter.verify(model, out)
