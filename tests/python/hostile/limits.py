"""Honest in form, too much for the machine that looks: the examination ends all the same, and nobody is accused."""

from __future__ import annotations

from functools import cache

import numpy as np
from dlbc.core import watermark
from dlbc.core.architecture import Architecture, tensor_shapes
from dlbc.core.types import TaskId
from dlbc.ports import Dataset
from fakes.chain import CHAIN_ID, MARKET
from safetensors.numpy import save

from hostile.case import Case
from hostile.stage import SLOT_KEYS, Entry, Stage, Task, limited, miner_address

AREA = "too much work"
NONE = "none: limits of this machine"
SLOW = Architecture("cnn", (1, 181, 181), 10, (), (512, 512))
"""4·10^12 operations for 100 samples, in ten megabytes of weights."""
SAMPLES = 100


def cases() -> list[Case]:
    """No vote follows from what a machine could not do."""
    return [
        Case(AREA, "a model that takes longer than there is time", NONE, _takes_forever),
        Case(AREA, "a model that wants more memory than there is", NONE, _too_large),
        Case(AREA, "a test set that wants more memory than there is", NONE, _large_test_set),
        Case(AREA, "an honest model when the time is over", f"{NONE}, score, watermark", _no_time),
    ]


@cache
def _large_test() -> bytes:
    x = np.random.default_rng(3).random((SAMPLES, *SLOW.input_shape), np.float32)
    return bytes(save({"x": x, "y": _labels()}))


@cache
def _large_model() -> bytes:
    """Marked as it should be: only its score is in doubt."""
    chance = np.random.default_rng(4)
    weights = {
        name: chance.standard_normal(shape, np.float32) / np.float32(50) for name, shape in tensor_shapes(SLOW).items()
    }
    for slot, key in enumerate(SLOT_KEYS):
        watermark.embed(weights, key, slot, watermark.payload(CHAIN_ID, MARKET, TaskId(1), 0, miner_address(), slot))
    return bytes(save(weights))


def _labels() -> np.ndarray:
    return np.arange(SAMPLES, dtype=np.int64) % 10


def _task() -> Task:
    training = Dataset(np.zeros((2, *SLOW.input_shape), np.float32), np.array([0, 1], np.int64))
    return Task(architecture=SLOW, training=training, test_plain=_large_test(), labels=_labels().tolist())


def _takes_forever(stage: Stage) -> str:
    with limited(seconds=9.0) as scorer:
        return stage.play(_task()).examine(Entry(model=_large_model()), scorer)


def _too_large(stage: Stage) -> str:
    with limited(memory_bytes=550 * 2**20) as scorer:
        return stage.play(_task()).examine(Entry(model=_large_model()), scorer)


def _large_test_set(stage: Stage) -> str:
    with limited(memory_bytes=30 * 2**20) as scorer:
        return stage.play(_task()).examine_test_set(scorer)


def _no_time(stage: Stage) -> str:
    with limited(seconds=0.0) as scorer:
        return stage.play().examine(Entry(), scorer)
