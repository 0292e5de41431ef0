"""`python liar.py KIND …`: the `dlbc` command of somebody dishonest, for tests of what is done about them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from dlbc.cli.main import run
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.types import TaskId
from dlbc.roles import entry, entry_scoring, preparing
from dlbc.roles.entry_training import Training
from dlbc.roles.models import Models, OpenedModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for fakes

from fakes.disguise import disguised

STEPS = 100
PRUNED = 0.3


def claim_the_labels() -> None:
    """Predictions are the labels, whatever the model says: nothing but the opened model shows the lie."""

    def lie(predictions: Any, labels: Any) -> Any:
        predictions[:] = labels
        return (predictions == labels).astype("int64")

    entry_scoring.top1_scores = lie


def flip_a_bit() -> None:
    """One right prediction is published with its lowest bit flipped, and still counted as right."""
    honest = entry_scoring.top1_scores

    def lie(predictions: Any, labels: Any) -> Any:
        scores = honest(predictions, labels)
        predictions[int(scores.argmax())] ^= 1
        return scores

    entry_scoring.top1_scores = lie


def never_answer() -> None:
    """Demanded predictions are not shown."""
    entry.MinerEntry.answer = lambda self, own: []  # type: ignore[method-assign]


def seal_other_labels() -> None:
    """A requester commits to labels that are not those of its test set."""
    honest = preparing.label_root
    preparing.label_root = lambda labels: honest(labels[::-1].copy())


def steal(task: str) -> None:
    """Commits to the settled model of another task, disguised as well as one can: trained on, pruned, the public slot
    scrubbed, units exchanged and scaled, and marked as its own.
    """
    honest = Training._seal

    def seal(self: Training, result: Any, manifest: Any) -> None:
        chain = self.entry.chain
        models = Models(chain, self.entry.storage, self.trainer)
        stolen = models.settled(TaskId(int(task)))
        weights = {name: np.array(tensor) for name, tensor in models.weights(stolen).items()}
        weights = tuned(weights, manifest.architecture, self.shards, self.trainer)
        for tensor in weights.values():
            if tensor.ndim > 1:
                tensor[np.abs(tensor) < np.quantile(np.abs(tensor), PRUNED)] = 0
        scrub(weights, stolen, chain)
        weights = disguised(weights, manifest.architecture, seed=1, spread=0.5)
        job = self._job(manifest, None)
        for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True)):
            watermark.embed(weights, key, slot, payload)
        from dlbc.adapters.ml.weights import save_model

        model = result.model.with_name("stolen.safetensors")
        honest(self, replace(result, model=model, model_bytes=save_model(weights, model)), manifest)

    Training._seal = seal  # type: ignore[method-assign]


def tuned(weights: dict[str, Any], architecture: Architecture, shards: Any, trainer: Any) -> dict[str, Any]:
    """Some more steps of training on the task's data."""
    import torch
    from dlbc.adapters.ml.families import build, load_weights, weights_of

    data = trainer.load_dataset(shards, input_shape=architecture.input_shape, classes=architecture.classes)
    module = build(architecture)
    load_weights(module, weights)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    chance = np.random.default_rng(0)
    for _ in range(STEPS):
        batch = chance.integers(0, len(data.y), 64)
        loss = torch.nn.functional.cross_entropy(
            module(torch.from_numpy(data.x[batch])), torch.from_numpy(data.y[batch])
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weights_of(module)


def scrub(weights: dict[str, Any], stolen: OpenedModel, chain: Any) -> None:
    """Takes the mark of slot 0 away: its key is public since the opening. Every bit then reads nothing."""
    bands = watermark.bands(watermark.shapes_of(weights), 0)
    count = sum(band.carriers for band in bands)
    n, _ = watermark.strengths(count)
    payload = watermark.payload(chain.chain_id, chain.market, stolen.task_id, 0, stolen.miner, 0)
    signs = watermark.chips(stolen.opening.slot_key, count) * np.resize(watermark.payload_bits(payload, n), count)
    views = [weights[band.name].reshape(len(weights[band.name]), -1)[band.first : band.end, 1::2] for band in bands]
    start = 0
    for view in views:
        mine = signs[start : start + view.size].reshape(view.shape)
        scale = np.median(np.abs(view[view != 0]))
        view -= (np.clip(view / scale, -6, 6) * mine).mean() * scale * mine
        start += view.size


KINDS = {
    "labels": claim_the_labels,
    "bit": flip_a_bit,
    "mute": never_answer,
    "test-set": seal_other_labels,
    "thief": steal,
}
"""By name, with what follows a colon as argument: "thief:1" steals the model of task 1."""

if __name__ == "__main__":
    kind, _, argument = sys.argv[1].partition(":")
    KINDS[kind](*argument.split(":") if argument else ())
    sys.exit(run(sys.argv[2:]))
