"""The scoring process: the same answers as without it, and one clear error for whatever ends it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dlbc.adapters import scoring
from dlbc.adapters.ml.families import initial_weights
from dlbc.adapters.ml.shards import encode_dataset
from dlbc.adapters.ml.trainer import TorchTrainer
from dlbc.adapters.scoring import NOT_CONFINED, ConfinedScorer, ScoringLimits
from dlbc.adapters.scoring_wire import Broken, receive, send, take
from dlbc.core.architecture import Architecture
from dlbc.core.errors import BadInput, LimitReached, VerificationFailed
from dlbc.ports import Dataset
from safetensors.numpy import save

pytestmark = pytest.mark.unit

ARCHITECTURES = [
    Architecture("mlp", (5,), 3, (7,)),
    Architecture("cnn", (1, 8, 8), 4, (6,), (5,)),
    Architecture("resnet", (1, 8, 8), 4, (), (4, 8), (1, 1)),
    Architecture("transformer", (1, 8, 8), 4, (), width=8, heads=2, layers=1),
    Architecture("unet", (1, 8, 8), 3, (), (4, 8)),
]
MLP = ARCHITECTURES[0]
DEADLINE = 30.0


@pytest.fixture(scope="module")
def scorer() -> Iterator[ConfinedScorer]:
    """One process for all tests that leave it as it was."""
    ready = ConfinedScorer(begins_now=True)
    yield ready
    ready.close()


def samples(architecture: Architecture, count: int) -> np.ndarray:
    """Random ones."""
    return np.random.default_rng(1).standard_normal((count, *architecture.input_shape), np.float32)


def model_of(architecture: Architecture) -> bytes:
    """A model file."""
    return bytes(save(initial_weights(architecture, bytes(32))))


def gone(pid: int) -> bool:
    """No process has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.family)
def test_scorer__every_family__agrees_with_the_evaluator_bit_by_bit(
    scorer: ConfinedScorer, architecture: Architecture
) -> None:
    """Over batches that are full and one that is not."""
    x, plain = samples(architecture, 300), TorchTrainer()
    weights = scorer.check_model(model_of(architecture), architecture, max_bytes=10**6)
    expected = plain.check_model(model_of(architecture), architecture, max_bytes=10**6)
    assert list(expected) == list(weights)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(tensor, weights[name])
    np.testing.assert_array_equal(plain.predict(expected, architecture, x), scorer.predict(weights, architecture, x))
    np.testing.assert_array_equal(
        plain.logits(expected, architecture, x[:9]), scorer.logits(weights, architecture, x[:9])
    )


def test_scorer__no_samples__no_classes(scorer: ConfinedScorer) -> None:
    """As the evaluator does."""
    assert scorer.predict(initial_weights(MLP, bytes(32)), MLP, samples(MLP, 0)).shape == (0,)


def test_scorer__data_file__is_the_same_set(scorer: ConfinedScorer) -> None:
    """Views of the bytes that are here, not copies from there."""
    x, y = samples(MLP, 20), np.arange(20, dtype=np.int64) % 3
    found = scorer.parse_dataset(encode_dataset(Dataset(x, y)), input_shape=(5,), classes=3)
    np.testing.assert_array_equal(x, found.x)
    np.testing.assert_array_equal(y, found.y)
    assert not found.x.flags.owndata


def test_scorer__model_as_a_file_or_too_large__is_read_or_refused(scorer: ConfinedScorer, tmp_path: Path) -> None:
    """Never more than is allowed is read."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(model_of(MLP))
    assert scorer.check_model(file, MLP, max_bytes=10**6)
    with pytest.raises(VerificationFailed, match="at most 10 bytes"):
        scorer.check_model(file, MLP, max_bytes=10)
    with pytest.raises(VerificationFailed, match="expected a file at"):
        scorer.check_model(tmp_path / "none", MLP, max_bytes=10)


def test_scorer__files_that_are_none__are_refused_by_the_same_sentence(scorer: ConfinedScorer) -> None:
    """The error of the other side comes through, by name."""
    pid = scorer.pid
    for error, ask in (
        (VerificationFailed, lambda where: where.check_model(b"nothing", MLP, max_bytes=100)),
        (BadInput, lambda where: where.parse_dataset(b"nothing", input_shape=(5,), classes=3)),
    ):
        with pytest.raises(error) as there:
            ask(scorer)
        with pytest.raises(error) as here:
            ask(TorchTrainer())
        assert str(here.value) == str(there.value)
    assert pid == scorer.pid


def test_scorer__device_that_there_is_not__is_told_and_the_next_request_works(scorer: ConfinedScorer) -> None:
    """An error in the middle of a request ends the process; the next one gets another."""
    weights = initial_weights(MLP, bytes(32))
    with pytest.raises(scoring.DlbcError, match="device"):
        scorer.predict(weights, MLP, samples(MLP, 100_000), "cuda:7")
    assert len(scorer.predict(weights, MLP, samples(MLP, 3))) == 3


def test_scorer__killed__is_a_limit_and_the_next_request_works() -> None:
    """Whoever ends it, the audit goes on."""
    scorer = ConfinedScorer()
    assert scorer.confinement() is not None
    assert scorer.pid is not None
    pid = scorer.pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LimitReached, match="scoring process ended by signal 9"):
        scorer.check_model(model_of(MLP), MLP, max_bytes=10**6)
    assert scorer.check_model(model_of(MLP), MLP, max_bytes=10**6)
    scorer.close()
    assert gone(pid)


def test_scorer__too_little_memory__is_a_limit() -> None:
    """The kernel refuses the memory; nobody's model is wrong for it."""
    scorer = ConfinedScorer(ScoringLimits(memory_bytes=20 * 2**20))
    with pytest.raises(LimitReached):
        scorer.check_model(model_of(MLP), MLP, max_bytes=10**6)
    scorer.close()


def test_scorer__stops_answering__is_ended_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that takes forever, or a process that hangs."""
    scorer = ConfinedScorer()
    assert scorer.confinement()
    assert scorer.pid is not None
    os.kill(scorer.pid, signal.SIGSTOP)
    monkeypatch.setattr(scoring, "LEAST_SECONDS", 0.3)
    pid = scorer.pid
    began = time.monotonic()
    with pytest.raises(LimitReached, match="took longer than 0 s and was ended"):
        scorer.check_model(model_of(MLP), MLP, max_bytes=10**6)
    assert time.monotonic() - began < DEADLINE
    assert gone(pid)


def test_scorer__more_operations_than_any_machine_does__is_not_begun() -> None:
    """2^24 samples of a model of 2^31 weights take days; nothing of them is even read."""
    huge = Architecture("mlp", (4,), 10, (2**15, 2**15))
    x = np.broadcast_to(np.float32(0), (2**24, 4))
    scorer = ConfinedScorer(ScoringLimits(seconds=600.0))
    with pytest.raises(LimitReached, match="more than any machine does"):
        scorer.predict({}, huge, x)
    assert scorer.pid is None


def test_scorer__time_is_over__nothing_is_asked() -> None:
    """All requests together get so many seconds."""
    with pytest.raises(LimitReached, match="are over"):
        ConfinedScorer(ScoringLimits(seconds=0.0)).check_model(b"", MLP, max_bytes=10)


def test_scorer__does_not_stay__leaves_nothing_behind() -> None:
    """For daemons, which parse a file now and then."""
    scorer = ConfinedScorer(stays=False)
    x, y = samples(MLP, 2), np.array([0, 1], np.int64)
    assert len(scorer.parse_dataset(encode_dataset(Dataset(x, y)), input_shape=(5,), classes=3).y) == 2
    assert scorer.pid is None


def test_scorer__nothing_keeps_it_from_the_network__is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it scores all the same."""
    told: list[str] = []
    scorer = ConfinedScorer(tell=told.append)
    held = scorer.confinement()
    process = scorer._process
    assert process is not None
    monkeypatch.setattr(process, "confinement", lambda: scoring.Confinement((), held.has_no_writes, True))
    for _ in range(2):
        scorer.check_model(model_of(MLP), MLP, max_bytes=10**6)
    scorer.close()
    assert told == [NOT_CONFINED]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"offsets": []},
        {"offsets": [0, 0, 0, 10**9]},
        {"offsets": [0, 0, 0, -1]},
        {"offsets": ["0"] * 4},
        {"offsets": [1.5] * 4},
        {"error": 7, "sentence": ["\x1b[2J"]},
    ],
)
def test_scorer__answers_that_can_not_be__are_limits(
    answer: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that strangers' bytes took over can only spoil its own audit."""
    monkeypatch.setattr(scoring._Process, "ask", lambda *_: (answer, bytearray()))
    scorer = ConfinedScorer()
    with pytest.raises(LimitReached) as refused:
        scorer.check_model(model_of(MLP), MLP, max_bytes=10**6)
    scorer.close()
    assert "\x1b" not in str(refused.value)


def test_wire__message_too_long_cut_or_no_table__is_broken(tmp_path: Path) -> None:
    """Neither side reads more than it expects."""
    file = tmp_path / "wire"
    for data in (b"", b"\x01", b"\xff\xff\xff\xff", b"\x02\0\0\0[]", b"\x05\0\0\0{", b"\x04\0\0\0\xff\xfe\xfd\xfc"):
        file.write_bytes(data)
        with file.open("rb") as stream, pytest.raises(Broken):
            receive(stream)
    with file.open("wb") as stream:
        send(stream, {"a": 1}, [b"xyz"])
    with file.open("rb") as stream:
        assert receive(stream) == {"a": 1}
        assert take(stream, 3) == b"xyz"
        with pytest.raises(Broken):
            take(stream, 1)
