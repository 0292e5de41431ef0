"""`python liar.py KIND …`: the `dlbc` command of somebody dishonest, for tests of what is done about them."""

from __future__ import annotations

import sys
from typing import Any

from dlbc.cli.main import run
from dlbc.roles import entry, requester


def claim_the_labels() -> None:
    """Predictions are the labels, whatever the model says: nothing but the opened model shows the lie."""

    def lie(predictions: Any, labels: Any) -> Any:
        predictions[:] = labels
        return (predictions == labels).astype("int64")

    entry.top1_scores = lie


def flip_a_bit() -> None:
    """One right prediction is published with its lowest bit flipped, and still counted as right."""
    honest = entry.top1_scores

    def lie(predictions: Any, labels: Any) -> Any:
        scores = honest(predictions, labels)
        predictions[int(scores.argmax())] ^= 1
        return scores

    entry.top1_scores = lie


def never_answer() -> None:
    """Demanded predictions are not shown."""
    entry.MinerEntry.answer = lambda self, own: []  # type: ignore[method-assign]


def seal_other_labels() -> None:
    """A requester commits to labels that are not those of its test set."""
    honest = requester.label_root
    requester.label_root = lambda labels: honest(labels[::-1].copy())


KINDS = {
    "labels": claim_the_labels,
    "bit": flip_a_bit,
    "mute": never_answer,
    "test-set": seal_other_labels,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
    sys.exit(run(sys.argv[2:]))
