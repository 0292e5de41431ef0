"""Files from anywhere held against the ledger: a clear answer, never a wrong accusation, never a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dlbc.adapters.ml.weights import save_model
from dlbc.core.copying import Standing
from dlbc.core.errors import Unavailable, VerificationFailed
from dlbc.core.types import TaskId
from dlbc.roles.detecting import Detected, Verdict
from fakes.copied import CopyWorld, moved
from fakes.keys import account

pytestmark = pytest.mark.unit


@pytest.fixture
def world(tmp_path: Path) -> CopyWorld:
    """Nothing has happened yet."""
    return CopyWorld(tmp_path)


def changed(world: CopyWorld, task_id: TaskId, path: Path, change: Any = None) -> Path:
    """A settled model that is no longer the registered file."""
    model = world.models().settled(task_id)
    weights = world.stolen(task_id)
    if change is not None:
        weights = change(weights, model.manifest.architecture)
    save_model(weights | {"linears.1.bias": weights["linears.1.bias"] + np.float32(1)}, path)
    return path


def standings(found: Detected) -> list[tuple[int, int, Standing]]:
    """(task, slot, meaning) of what was found."""
    return [(mark.reading.slot.task_id, mark.reading.slot.slot, mark.standing) for mark in found.look.found]


def test_detect__copy_of_one_of_three__is_told_from_the_others(world: CopyWorld, tmp_path: Path) -> None:
    """Every published slot of every model is tried; published evidence counts like slot 0."""
    first, _, _ = world.won(), world.won("other"), world.won("heir")
    world.publish(first)
    found = world.detector().detect(changed(world, first, tmp_path / "a"), align="never")
    assert sorted(standings(found)) == [(first, 0, Standing.COPY), (first, 1, Standing.COPY)]
    assert (found.verdict, found.detected, found.look.tests, found.look.models) == (Verdict.MARKED, 2, 4, 3)
    assert found.look.not_aligned == 2
    best = found.look.marks[0]
    assert found.look.bound(best) == pytest.approx(best.reading.log2_false_positive + np.log2(3 * 4))
    assert found.model_hash(best) == world.hash_of(first)


def test_detect__units_moved__is_found_aligned_within_the_limit(world: CopyWorld, tmp_path: Path) -> None:
    """The newest originals come first; what the limit leaves out is counted as not looked at."""
    first, _, _ = world.won(), world.won("other"), world.won("heir")
    file = changed(world, first, tmp_path / "a", moved)
    assert world.detector().detect(file, align="never").verdict is Verdict.NOTHING
    narrow = world.detector().detect(file, limit=2)
    assert (narrow.verdict, narrow.look.aligned, narrow.look.not_aligned) == (Verdict.NOTHING, 2, 1)
    found = world.detector().detect(file)
    assert standings(found) == [(first, 0, Standing.COPY)]
    assert (found.look.aligned, found.look.not_aligned) == (3, 0)


def test_detect__the_model_itself_its_heir_and_its_thief__are_told_apart(world: CopyWorld, tmp_path: Path) -> None:
    """A settled file is known by its sha256, with its commit and its parents."""
    first = world.won()
    heir = world.taken(first, name="heir", parent=first, change=lambda weights, _: weights)
    thief = world.taken(first, name="thief", change=lambda weights, _: weights)
    meanings = {}
    for task_id in (first, heir, thief):
        file = tmp_path / f"{task_id}.safetensors"
        world.models().pull(world.models().settled(task_id), file)
        found = world.detector().detect(file, align="never")
        meanings[task_id] = ({task: standing for task, _, standing in standings(found)}, found.verdict)
    itself = Standing.ITSELF
    assert meanings[first] == ({first: itself}, Verdict.EXPLAINED)
    assert meanings[heir] == ({first: Standing.ANCESTOR, heir: itself}, Verdict.EXPLAINED)
    assert meanings[thief] == ({first: Standing.COPY, thief: itself}, Verdict.COPY)


def test_detect__one_model__holds_the_file_against_nothing_else(world: CopyWorld, tmp_path: Path) -> None:
    """By task or by digest."""
    first, second = world.won(), world.won("other")
    file = changed(world, first, tmp_path / "a")
    assert world.detector().detect(file, world.models().settled(first)).detected == 1
    found = world.detector().detect(file, world.models().by_hash(world.hash_of(second)))
    assert (found.detected, found.look.models, found.look.aligned) == (0, 1, 1)


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_detect__half_of_the_bits__is_detected_and_said(world: CopyWorld, tmp_path: Path, kind: str) -> None:
    """Rounded weights still carry the mark."""
    first = world.won()
    header: dict[str, Any] = {}
    data = b""
    for name, tensor in world.stolen(first).items():
        scaled = (tensor / np.float32(1e3)).astype(np.float32)  # the lifted bias is beyond float16; scales are read off
        part = (
            scaled.astype(np.float16).tobytes()
            if kind == "F16"
            else (scaled.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        )
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    head = json.dumps(header).encode()
    file = tmp_path / "half.safetensors"
    file.write_bytes(len(head).to_bytes(8, "little") + head + data)
    found = world.detector().detect(file)
    assert found.widened == ({"F16": "float16", "BF16": "bfloat16"}[kind],)
    assert standings(found) == [(first, 0, Standing.COPY)]


def test_detect__renamed_or_missing_tensors__are_refused_by_name(world: CopyWorld, tmp_path: Path) -> None:
    """A thief's file with other names can't be read, and the sentence says which."""
    first = world.won()
    weights = world.stolen(first)
    renamed = {name.replace("linears.0", "hidden"): tensor for name, tensor in weights.items()}
    del weights["linears.1.bias"]
    for tensors, word in ((renamed, "missing are linears.0.weight"), (weights, "missing are linears.1.bias")):
        save_model(tensors, tmp_path / "a")
        with pytest.raises(VerificationFailed, match=f"the architecture of task 1's model.*{word}"):
            world.detector().detect(tmp_path / "a", world.models().settled(first))
    with pytest.raises(VerificationFailed, match=r"of none of the 1 models that were opened.*other numbers of them"):
        world.detector().detect(tmp_path / "a")
    save_model(renamed, tmp_path / "a")
    with pytest.raises(VerificationFailed, match=r"of none of the 1 models that were opened.*not expected are hidden"):
        world.detector().detect(tmp_path / "a")


def test_detect__zero_constant_or_random_weights__accuse_nobody(world: CopyWorld, tmp_path: Path) -> None:
    """No mark, no crash, aligned or not."""
    first = world.won()
    shapes = {name: tensor.shape for name, tensor in world.stolen(first).items()}
    chance = np.random.default_rng(0)
    for fill in (
        lambda shape: np.zeros(shape, np.float32),
        lambda shape: np.full(shape, 3, np.float32),
        lambda shape: chance.standard_normal(shape, dtype=np.float32),
        lambda shape: np.full(shape, np.finfo(np.float32).max, np.float32),
    ):
        save_model({name: fill(shape) for name, shape in shapes.items()}, tmp_path / "a")
        found = world.detector().detect(tmp_path / "a", align="always")
        assert (found.verdict, found.look.tests) == (Verdict.NOTHING, 2)


def test_detect__empty_ledger__has_nothing_to_look_for(world: CopyWorld, tmp_path: Path) -> None:
    """That is no error."""
    save_model({"w": np.ones((2, 2), np.float32)}, tmp_path / "a")
    found = world.detector().detect(tmp_path / "a")
    assert (found.verdict, found.look.tests) == (Verdict.NOTHING, 0)


def test_detect__manifests_not_served__says_to_try_again(world: CopyWorld, tmp_path: Path) -> None:
    """Without one manifest nobody knows what the tensors mean."""
    first = world.won()
    file = changed(world, first, tmp_path / "a")
    del world.network[world.market.posted[first].terms.manifest]
    with pytest.raises(Unavailable, match="nobody serves the manifests"):
        world.detector().detect(file)


def test_detect__opened_and_struck_models__count_like_settled_ones(world: CopyWorld, tmp_path: Path) -> None:
    """A mark is a mark once its model was opened; only publishing more slots needs a settlement."""
    first = world.won()
    second = world.opened_copy(first, change=lambda weights, _: weights)
    file = tmp_path / "a"
    save_model(world.suspect(second).weights, file)
    found = {mark.reading.slot.miner for mark in world.detector().detect(file, align="never").look.found}
    assert found == {account("owner").address, account("thief").address}


def test_detect__file_that_is_opened_and_not_settled__is_known_by_its_own_mark(
    world: CopyWorld, tmp_path: Path
) -> None:
    """Then commit order and declared parents count for it, as for a settled one."""
    first = world.won()
    thief = world.opened_copy(first, change=lambda weights, _: weights)
    heir = world.opened_copy(first, name="heir", parent=first, change=lambda weights, _: weights)
    for task_id, verdict in ((thief, Verdict.COPY), (heir, Verdict.EXPLAINED)):
        file = tmp_path / f"{task_id}"
        save_model(world.suspect(task_id).weights, file)
        found = world.detector().detect(file, align="never")
        assert found.verdict is verdict
        assert (task_id, 0, Standing.ITSELF) in standings(found)
