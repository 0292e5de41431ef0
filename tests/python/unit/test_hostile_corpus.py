"""Everything that strangers may publish ends with the verdict that it has to get, in bounded time and memory."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dlbc.core.errors import DlbcError
from hostile.case import MOST_BYTES, MOST_SECONDS, Case, judge
from hostile.corpus import cases
from hostile.fuzz import READERS, WORDS, spoil
from hostile.stage import Entry, Stage, staged
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
CASES = cases()
MOST_READING = 2.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One scoring process for all cases of this module."""
    with staged(tmp_path_factory.mktemp("hostile")) as ready:
        yield ready


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_corpus__hostile_input__gets_its_verdict_in_bounded_time_and_memory(case: Case, stage: Stage) -> None:
    """Never a traceback, never a hang, never another verdict."""
    outcome = judge(case, stage)
    assert outcome.verdict == case.expected, outcome.sentence
    assert outcome.seconds < MOST_SECONDS
    assert outcome.peak_bytes < MOST_BYTES


def test_corpus__honest_task_and_claim__stand(stage: Stage) -> None:
    """The cases differ from these in one thing each."""
    assert stage.play().looked_at_by_a_miner().startswith("chosen")
    assert stage.play().examine_test_set(stage.scorer) == "stands | "
    assert stage.play().examine(Entry(), stage.scorer) == "stands | "


def test_page__of_the_corpus__lists_every_case_with_its_verdict() -> None:
    """`dlbc bench hostile` writes it."""
    page = (ROOT / "docs" / "hostile-inputs.md").read_text(encoding="utf-8")
    assert [case.id for case in CASES if f"\n| {case.name} | {case.expected} |" not in page] == []


def read(parse: Callable[[bytes], object], data: bytes) -> str:
    """What is told about the bytes; nothing if they are taken."""
    try:
        parse(data)
    except DlbcError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", READERS)
def test_readers__good_bytes__are_read(name: str) -> None:
    """What is spoiled below is good."""
    good, parse = READERS[name]
    parse(good())


@pytest.mark.parametrize("name", READERS)
@given(seed=st.integers(0, 2**32 - 1))
def test_readers__spoiled_bytes__are_read_or_refused(name: str, seed: int) -> None:
    """No bytes raise anything but our own errors, or take long."""
    good, parse = READERS[name]
    data = spoil(good(), random.Random(seed))
    began = time.perf_counter()
    assert "\n" not in read(parse, data)
    assert time.perf_counter() - began < MOST_READING


@pytest.mark.parametrize("name", READERS)
@given(pieces=st.lists(st.sampled_from(WORDS) | st.binary(max_size=20), max_size=40))
def test_readers__words_that_parsers_know__are_read_or_refused(name: str, pieces: list[bytes]) -> None:
    """The same for bytes that were never good."""
    _, parse = READERS[name]
    assert "\n" not in read(parse, b"".join(pieces))
