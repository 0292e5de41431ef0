"""A manifest has one byte form, and a hostile one is refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import pytest
from dlbc.core import canonical
from dlbc.core.architecture import Architecture, architecture_to_json, flops_per_sample, parameters, stored_values
from dlbc.core.errors import BadInput, VerificationFailed
from dlbc.core.hashing import sha256
from dlbc.core.manifest import (
    DATA_HEADER_BYTES,
    MAX_MANIFEST_BYTES,
    MODEL_HEADER_BYTES,
    Manifest,
    SealedTest,
    Shard,
    Training,
    check_against_terms,
    manifest_from_bytes,
    manifest_to_bytes,
    workload_of,
)
from dlbc.core.types import Hash32, Locator, Terms, Wei, Workload
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

MLP = Architecture("mlp", (1, 8, 8), 10, (128, 64))
CNN = Architecture("cnn", (1, 28, 28), 10, (64,), (16, 32))
RESNET = Architecture("resnet", (1, 28, 28), 10, (), (16, 32), (1, 2))
TRANSFORMER = Architecture("transformer", (1, 28, 28), 10, (), width=32, heads=4, layers=2)
UNET = Architecture("unet", (1, 8, 8), 10, (), (16, 32))
MANIFEST = Manifest(
    name="Handwritten digits",
    architecture=MLP,
    training=Training(epochs=10, batch=64, learning_rate_ppm=1_000),
    shards=(
        Shard(Locator(b"\1" * 32), Hash32(b"\2" * 32), 184_880, 700),
        Shard(Locator(b"\3" * 32), Hash32(b"\4" * 32), 79_280, 300),
    ),
    tests=(SealedTest(Locator(b"\5" * 32), 52_880, 200),),
    model_bytes=1_000_000,
)
DIGESTS = st.binary(min_size=32, max_size=32)
HEADERS = st.integers(0, DATA_HEADER_BYTES)
NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=100)


def value_of(manifest: Manifest = MANIFEST) -> dict[str, Any]:
    """The manifest as a table that a test may spoil."""
    return json.loads(manifest_to_bytes(manifest))


def terms_of(manifest: Manifest, workload: Workload | None = None) -> Terms:
    """Terms that state the manifest's workload, or another."""
    digest = sha256(manifest_to_bytes(manifest))
    return Terms(digest, Locator(digest), workload or workload_of(manifest), *([1] * 8), *([Wei(1)] * 3), royalty_bps=0)


@given(
    name=NAMES,
    architecture=st.sampled_from([MLP, CNN, RESNET, TRANSFORMER]),
    training=st.builds(Training, st.integers(1, 2**20), st.integers(1, 2**20), st.integers(1, 10**7)),
    shards=st.lists(st.tuples(DIGESTS, DIGESTS, HEADERS, st.integers(1, 2**16)), min_size=1, max_size=5),
    tests=st.lists(st.tuples(DIGESTS, HEADERS, st.integers(1, 2**16)), min_size=1, max_size=16),
    model_header=st.integers(0, MODEL_HEADER_BYTES),
)
def test_manifest__any_valid__comes_back_from_one_byte_form(
    name: str,
    architecture: Architecture,
    training: Training,
    shards: list[tuple[bytes, bytes, int, int]],
    tests: list[tuple[bytes, int, int]],
    model_header: int,
) -> None:
    """Bytes and manifest determine each other."""
    sample = 4 * prod(architecture.input_shape) + 8
    manifest = Manifest(
        name,
        architecture,
        training,
        tuple(Shard(Locator(a), Hash32(b), header + n * sample, n) for a, b, header, n in shards),
        tuple(SealedTest(Locator(a), header + n * sample, n) for a, header, n in tests),
        4 * stored_values(architecture) + model_header,
    )

    data = manifest_to_bytes(manifest)

    assert manifest == manifest_from_bytes(data)
    assert data == manifest_to_bytes(manifest_from_bytes(data))


def test_manifest_to_bytes__example__is_the_documented_form() -> None:
    """The keys and their order are those of docs/protocol.md."""
    expected = {
        "dlbc": 1,
        "name": "Handwritten digits",
        "architecture": {"family": "mlp", "input_shape": [1, 8, 8], "classes": 10, "hidden": [128, 64]},
        "training": {"epochs": 10, "batch": 64, "learning_rate_ppm": 1000},
        "data": {
            "samples": 1000,
            "bytes": 264_160,
            "shards": [
                {"locator": "01" * 32, "sha256": "02" * 32, "bytes": 184_880, "samples": 700},
                {"locator": "03" * 32, "sha256": "04" * 32, "bytes": 79_280, "samples": 300},
            ],
        },
        "tests": [{"sealed": "05" * 32, "bytes": 52_880, "samples": 200}],
        "limits": {"model_bytes": 1_000_000},
        "metric": "top1",
    }

    assert json.dumps(expected, sort_keys=True, separators=(",", ":")).encode() == manifest_to_bytes(MANIFEST)


def test_manifest_to_bytes__licence__has_an_entry_only_if_one_is_named() -> None:
    """Manifests that were posted before there was such an entry keep their bytes and hashes."""
    assert b"license" not in manifest_to_bytes(MANIFEST)
    licensed = replace(MANIFEST, license="CC-BY-4.0")
    assert value_of(licensed) == {**value_of(), "license": "CC-BY-4.0"}
    assert licensed == manifest_from_bytes(manifest_to_bytes(licensed))
    assert manifest_from_bytes(manifest_to_bytes(MANIFEST)).license == ""


def test_manifest_to_bytes__out_of_bounds__refused_before_it_is_posted() -> None:
    """A requester can't make a manifest that a miner would refuse."""
    with pytest.raises(BadInput, match=r"manifest: training\.epochs"):
        manifest_to_bytes(replace(MANIFEST, training=Training(0, 1, 1)))
    with pytest.raises(BadInput, match="expected at most 1048576 bytes"):
        manifest_to_bytes(replace(MANIFEST, shards=MANIFEST.shards * 4000))


def spoil(*path: str | int, value: Any) -> bytes:
    """The canonical bytes of the example with one value replaced or added; only the parser may notice."""
    table = value_of()
    place: Any = table
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return canonical.to_bytes(table)


def without(*path: str) -> bytes:
    """The canonical bytes of the example with one entry left out."""
    table = value_of()
    place: Any = table
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return canonical.to_bytes(table)


GOOD = manifest_to_bytes(MANIFEST)
HUGE = b"9" * 5000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0", id="zero byte"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, id="byte order mark"),
        pytest.param(GOOD.replace(b"digits", b"\xff\xfe"), id="not UTF-8"),
        pytest.param(GOOD.decode().encode("utf-16"), id="UTF-16"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"{" * 500_000, id="deep tables"),
        pytest.param(b"[" * 1_000_000, id="deep lists"),
        pytest.param(b'{"a":' + b"[" * 20 + b"]" * 20 + b"}", id="nested"),
        pytest.param(GOOD + b" " * MAX_MANIFEST_BYTES, id="too long"),
        pytest.param(GOOD + b"\n", id="newline at the end"),
        pytest.param(GOOD + GOOD, id="twice"),
        pytest.param(GOOD[:-1], id="cut"),
        pytest.param(json.dumps(value_of()).encode(), id="not canonical"),
        pytest.param(GOOD.replace(b'"dlbc":1', b'"dlbc":1,"dlbc":1'), id="a key twice"),
        pytest.param(GOOD.replace(b'"epochs":10', b'"epochs":10.0'), id="fraction"),
        pytest.param(GOOD.replace(b'"epochs":10', b'"epochs":1e1'), id="exponent"),
        pytest.param(GOOD.replace(b'"epochs":10', b'"epochs":NaN'), id="NaN"),
        pytest.param(GOOD.replace(b'"epochs":10', b'"epochs":-Infinity'), id="infinity"),
        pytest.param(GOOD.replace(b'"epochs":10', b'"epochs":' + HUGE), id="huge number"),
        pytest.param(GOOD.replace(b'"epochs":10', b'"epochs":-' + HUGE), id="huge negative number"),
        pytest.param(GOOD.replace(b'"epochs":10', b'"epochs":010'), id="leading zero"),
        pytest.param(GOOD.replace(b'"epochs":10', b'"epochs":-0'), id="minus zero"),
        pytest.param(GOOD.replace(b'"epochs":10', b'"epochs":true'), id="true"),
        pytest.param(GOOD.replace(b'"epochs":10', b'"epochs":null'), id="null inside"),
        pytest.param(GOOD.replace(b"Handwritten", b"\\u0048andwritten"), id="needless escape"),
        pytest.param(GOOD.replace(b"Handwritten", b"\\ud800"), id="half a surrogate pair"),
        pytest.param(spoil("dlbc", value=2), id="version"),
        pytest.param(spoil("extra", value=1), id="unknown key"),
        pytest.param(spoil("x" * 5000, value=1), id="long unknown key"),
        pytest.param(without("training"), id="training missing"),
        pytest.param(without("data", "samples"), id="samples missing"),
        pytest.param(spoil("name", value=""), id="no name"),
        pytest.param(spoil("name", value="x" * 101), id="long name"),
        pytest.param(spoil("name", value=5), id="name a number"),
        pytest.param(spoil("name", value="two\nlines"), id="newline in the name"),
        pytest.param(spoil("name", value="esc\x1b[31m"), id="terminal escape in the name"),
        pytest.param(spoil("name", value="zero\0"), id="zero byte in the name"),
        pytest.param(spoil("name", value="right\u202eleft"), id="text direction in the name"),
        pytest.param(spoil("name", value="hidden\u200b"), id="invisible space in the name"),
        pytest.param(spoil("name", value="line\u2028break"), id="line separator in the name"),
        pytest.param(spoil("name", value=" digits"), id="space before the name"),
        pytest.param(spoil("license", value=""), id="empty licence"),
        pytest.param(spoil("license", value="all rights reserved"), id="licence no identifier"),
        pytest.param(spoil("license", value=5), id="licence a number"),
        pytest.param(spoil("license", value={"spdx": "MIT" * 9_000}), id="licence a table"),
        pytest.param(spoil("metric", value="auc"), id="metric"),
        pytest.param(spoil("metric", value=[]), id="metric a list"),
        pytest.param(spoil("architecture", value="resnet"), id="architecture a text"),
        pytest.param(spoil("architecture", "family", value="pickle"), id="family"),
        pytest.param(spoil("architecture", "code", value="import os"), id="architecture with code"),
        pytest.param(spoil("architecture", value=architecture_to_json(UNET)), id="a class for every pixel"),
        pytest.param(spoil("architecture", "hidden", value=[2**20] * 60), id="architecture too large"),
        pytest.param(spoil("architecture", "input_shape", value=[-1]), id="negative shape"),
        pytest.param(spoil("training", "epochs", value=0), id="no epochs"),
        pytest.param(spoil("training", "epochs", value=2**32), id="too many epochs"),
        pytest.param(spoil("training", "batch", value="64"), id="batch a text"),
        pytest.param(spoil("training", "learning_rate_ppm", value=0), id="no learning rate"),
        pytest.param(spoil("training", "optimiser", value="sgd"), id="unknown training key"),
        pytest.param(spoil("data", "samples", value=999), id="samples are not the sum"),
        pytest.param(spoil("data", "bytes", value=1), id="bytes are not the sum"),
        pytest.param(spoil("data", "shards", value=[]), id="no shards"),
        pytest.param(spoil("data", "shards", value={}), id="shards a table"),
        pytest.param(spoil("data", "shards", value=[{}] * 65_537), id="too many shards"),
        pytest.param(spoil("data", "shards", 0, "locator", value="Qm"), id="locator a CID"),
        pytest.param(spoil("data", "shards", 0, "sha256", value="0x" + "00" * 32), id="hash with 0x"),
        pytest.param(spoil("data", "shards", 0, "sha256", value="0" * 63 + "\u0660"), id="another script's digit"),
        pytest.param(spoil("data", "shards", 0, "bytes", value=2**41), id="shard too large"),
        pytest.param(spoil("data", "shards", 0, "samples", value=0), id="shard without samples"),
        pytest.param(spoil("data", "shards", 0, "path", value="/etc/passwd"), id="unknown shard key"),
        pytest.param(spoil("data", "shards", 0, "bytes", value=2**20), id="shard larger than its samples"),
        pytest.param(spoil("data", "shards", 0, "bytes", value=700 * 264 - 1), id="shard smaller than its samples"),
        pytest.param(spoil("data", "shards", 0, "samples", value=2**40), id="shard of a petabyte"),
        pytest.param(spoil("tests", value=[]), id="no test"),
        pytest.param(spoil("tests", 0, "bytes", value=2**30), id="test set larger than its samples"),
        pytest.param(spoil("tests", value=[value_of()["tests"][0]] * 17), id="too many rounds"),
        pytest.param(spoil("tests", 0, "samples", value=2**32), id="too many test samples"),
        pytest.param(spoil("tests", 0, "key", value="00"), id="unknown test key"),
        pytest.param(spoil("limits", "model_bytes", value=1000), id="limit below the parameters' bytes"),
        pytest.param(spoil("limits", "model_bytes", value=2**41), id="limit too large"),
        pytest.param(spoil("limits", "model_bytes", value=2**22), id="limit above the parameters' bytes"),
        pytest.param(spoil("limits", value=[]), id="limits a list"),
    ],
)
def test_manifest_from_bytes__hostile__one_sentence(data: bytes) -> None:
    """Whatever a stranger posts as a manifest is refused with what was expected and what came, in one short line."""
    with pytest.raises(BadInput, match=r"expected|unknown") as caught:
        manifest_from_bytes(data)
    text = str(caught.value)
    assert text.startswith(("manifest", "architecture"))
    assert len(text) < 300
    assert text.isprintable()


def test_manifest_from_bytes__family_that_classifies_pixels__refused_for_its_metric() -> None:
    """Top-1 scores one class a sample: requester and miner refuse a model that gives every pixel one, alike."""
    sentence = r"^manifest: architecture\.family: expected a family that gives a sample one class .* found 'unet'"
    with pytest.raises(BadInput, match=sentence):
        manifest_from_bytes(spoil("architecture", value=architecture_to_json(UNET)))
    with pytest.raises(BadInput, match=sentence):
        manifest_to_bytes(replace(MANIFEST, architecture=UNET))


@given(data=st.binary(max_size=200))
def test_manifest_from_bytes__random_bytes__only_bad_input(data: bytes) -> None:
    """No bytes whatever raise anything but BadInput."""
    with pytest.raises(BadInput):
        manifest_from_bytes(data)


@given(data=st.data())
def test_manifest_from_bytes__one_byte_changed__bad_input_or_canonical(data: st.DataObject) -> None:
    """A changed byte either breaks the manifest or gives another canonical one."""
    position = data.draw(st.integers(0, len(GOOD) - 1))
    byte = data.draw(st.integers(0, 255))
    spoilt = GOOD[:position] + bytes([byte]) + GOOD[position + 1 :]

    try:
        manifest = manifest_from_bytes(spoilt)
    except BadInput:
        assert spoilt != GOOD
    else:
        assert spoilt == manifest_to_bytes(manifest)


def test_manifest_from_bytes__full_manifest__parsed() -> None:
    """As many shards as fit into 1 MiB are read back."""
    full = replace(MANIFEST, shards=MANIFEST.shards[:1] * 5_500)

    assert full == manifest_from_bytes(manifest_to_bytes(full))


# ---------------------------------------------------------------- workload


@pytest.mark.parametrize("architecture", [MLP, CNN, RESNET, TRANSFORMER])
def test_workload_of__manifest__as_the_architecture_says(architecture: Architecture) -> None:
    """P-80: the six numbers come from the manifest alone."""
    workload = workload_of(replace(MANIFEST, architecture=architecture))

    assert Workload(parameters(architecture), flops_per_sample(architecture), 1000, 10, 264_160, 1_000_000) == workload


def test_check_against_terms__honest__passes() -> None:
    """Terms made from the manifest agree with it."""
    check_against_terms(MANIFEST, terms_of(MANIFEST))


@pytest.mark.parametrize("name", ["parameters", "flops_per_sample", "samples", "epochs", "data_bytes", "model_bytes"])
@pytest.mark.parametrize("change", [lambda n: n + 1, lambda n: n - 1], ids=["more", "less"])
def test_check_against_terms__misstated__named(name: str, change: Callable[[int], int]) -> None:
    """P-80: a task that misstates any part of its workload is skipped, and the sentence says which."""
    honest = workload_of(MANIFEST)
    stated = replace(honest, **{name: change(getattr(honest, name))})

    with pytest.raises(VerificationFailed, match=f"terms: {name}: expected {getattr(honest, name)}"):
        check_against_terms(MANIFEST, terms_of(MANIFEST, stated))


def test_check_against_terms__another_manifest__refused() -> None:
    """The manifest is the one that the terms name by hash."""
    with pytest.raises(VerificationFailed, match="manifest: expected sha256"):
        check_against_terms(replace(MANIFEST, name="Other digits"), terms_of(MANIFEST))
