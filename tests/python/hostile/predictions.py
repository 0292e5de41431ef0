"""A leader's published predictions beside an honest model. An auditor examines the claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hostile.case import Case
from hostile.stage import Entry, Stage, samples

AREA = "predictions"
SCORE = "falls: score"
SAMPLES = "falls: score, samples"
COUNT = 40


def cases() -> list[Case]:
    """What can't be read, or is not what was claimed, falls by its score."""
    files = [Case(AREA, name, SCORE, _examined(Entry(predictions_file=change))) for name, change in FILES.items()]
    files += [Case(AREA, name, SAMPLES, _examined(Entry(predictions_file=change))) for name, change in OTHERS.items()]
    claims = [Case(AREA, name, expected, _claimed(*claim)) for name, (expected, *claim) in CLAIMS.items()]
    lost = Case(AREA, "served by nobody", SCORE, _examined(Entry(serves_predictions=False)))
    return [*files, *claims, lost]


def _examined(entry: Entry) -> Callable[[Stage], str]:
    return lambda stage: stage.play().examine(entry, stage.scorer)


def _claimed(
    predictions: Callable[[], Sequence[int]], scores: Callable[[], Sequence[int]] | None = None
) -> Callable[[Stage], str]:
    def run(stage: Stage) -> str:
        entry = Entry(predictions=predictions(), scores=None if scores is None else scores())
        return stage.play().examine(entry, stage.scorer)

    return run


def _labels() -> list[int]:
    return [int(label) for label in samples()[1].y]


def _with(**at: int) -> Callable[[], list[int]]:
    """The labels, but for one sample."""

    def make() -> list[int]:
        labels = _labels()
        labels[at["index"]] = at["value"]
        return labels

    return make


def _ones() -> list[int]:
    return [1] * COUNT


FILES: dict[str, Callable[[bytes], bytes]] = {
    "an empty file": lambda honest: b"",
    "noise": lambda honest: bytes((index * 31) % 256 for index in range(len(honest))),
    "a byte missing": lambda honest: honest[:-1],
    "a byte more": lambda honest: honest + b"\0",
    "ten megabytes": lambda honest: honest.ljust(10 * 2**20, b"\0"),
    "another count than bytes": lambda honest: honest[:8] + (2**32 - 1).to_bytes(4, "little") + honest[12:],
    "another kind of file": lambda honest: b"DLBCPRD2" + honest[8:],
    "a pickle": lambda honest: b"\x80\x04\x95".ljust(len(honest), b"."),
    "scores of 2^32 - 1": lambda honest: honest[: 12 + 4 * COUNT] + b"\xff" * 4 * COUNT,
}
OTHERS: dict[str, Callable[[bytes], bytes]] = {
    "other predictions than claimed": lambda honest: honest[:12] + honest[16:20] + honest[12:16] + honest[20:],
    "classes of 2^32 - 1": lambda honest: honest[:12] + b"\xff" * 4 * COUNT + honest[12 + 4 * COUNT :],
}
CLAIMS: dict[str, tuple[Any, ...]] = {
    "a class that there is not": (SAMPLES, _with(index=3, value=10), _ones),
    "a class of 2^32 - 1": (SAMPLES, _with(index=3, value=2**32 - 1), _ones),
    "a point for a wrong class": (SAMPLES, _with(index=3, value=9), _ones),
    "a score above the most": (SCORE, _labels, lambda: [2, *_ones()[2:], 0]),
    "always the same class": (SAMPLES, lambda: [0] * COUNT, _ones),
}
