"""A stranger's model that was opened earlier: every later claim of its architecture is aligned with it, and one such
model must not keep auditors from the claims of everybody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from dlbc.core.hashing import keccak
from safetensors.numpy import save

from hostile.case import Case
from hostile.stage import Entry, Sealed, Stage, honest_model, honest_weights

AREA = "earlier original"
STANDS = "stands"
WEIGHT = "linears.0.weight"

Weights = dict[str, np.ndarray]


def cases() -> list[Case]:
    """The honest claim after it stands, whatever it is."""
    found = [Case(AREA, name, STANDS, _after(Entry(), make)) for name, make in WEIGHTS.items()]
    return found + [Case(AREA, name, STANDS, _after(_lost(damage), None)) for name, damage in FILES.items()]


def _after(entry: Entry, make: Callable[[Weights], Weights] | None) -> Callable[[Stage], str]:
    def run(stage: Stage) -> str:
        earlier = entry if make is None else replace(entry, model=bytes(save(make(_copy()))))
        honest = stage.play()
        poison = stage.play(beside=honest, who="poisoner")
        first, second = poison.commit(earlier), honest.commit(Entry())
        poison.release()
        honest.release(moves=False)
        claims = poison.reveal(earlier, first), honest.reveal(Entry(), second)
        poison.world.market.move_to_end_of_phase(poison.task_id)
        poison.open_claim(first, claims[0])
        honest.open_claim(second, claims[1])
        return honest.said_of_its_claim(stage.scorer)

    return run


def _lost(damage: Callable[[Sealed], Sealed]) -> Entry:
    """Of another hash than the later model, which it would own else."""
    return Entry(sealed=damage, model_hash=keccak(b"original"))


def _copy() -> Weights:
    return {name: tensor.copy() for name, tensor in honest_weights().items()}


def _signs(shape: tuple[int, ...]) -> np.ndarray:
    return np.sign(np.random.default_rng(8).standard_normal(shape)).astype(np.float32)


def _one(value: float) -> Callable[[Weights], Weights]:
    def change(weights: Weights) -> Weights:
        weights[WEIGHT][:, 1] = np.float32(value)
        return weights

    return change


def _listed(change: Callable[[bytes], bytes]) -> Callable[[Sealed], Sealed]:
    return lambda sealed: replace(sealed, damage_list=change)


WEIGHTS: dict[str, Callable[[Weights], Weights]] = {
    "weights of 3e38": lambda weights: {name: _signs(t.shape) * np.float32(3e38) for name, t in weights.items()},
    "weights of 1e-45": lambda weights: {name: _signs(t.shape) * np.float32(1e-45) for name, t in weights.items()},
    "weights of zero": lambda weights: {name: np.zeros_like(tensor) for name, tensor in weights.items()},
    "weights that are all the same": lambda weights: {name: np.ones_like(tensor) for name, tensor in weights.items()},
    "one column of 3e38": _one(3e38),
    "one column of -3e38": _one(-3e38),
}
FILES: dict[str, Callable[[Sealed], Sealed]] = {
    "nobody serves it": lambda sealed: replace(sealed, loses=("list",)),
    "a part of it is not served": lambda sealed: replace(sealed, loses=("parts",)),
    "a list nested deep": _listed(lambda _: b"[" * 300),
    "a list of noise": _listed(lambda _: bytes(range(256))),
    "no sealed file": lambda sealed: replace(sealed, damage_parts=lambda parts: [bytes(len(parts[0]))]),
    "a file of zeros": lambda sealed: replace(sealed, plain=bytes(len(honest_model()))),
    "another architecture": lambda sealed: replace(sealed, plain=bytes(save({"w": np.ones((3, 3), np.float32)}))),
}
"""Of the place where it is kept."""
