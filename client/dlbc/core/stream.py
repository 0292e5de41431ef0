"""The residual stream of a transformer: what it holds for given inputs, and the rotation between two of them.

Every layer reads the stream through a layer normalisation and adds to it, so the whole stream may be multiplied by
any rotation that keeps the vector of ones, if whatever writes and reads it is multiplied as well (Ashkboos et al. 2024
use this to shrink models). The scales of the normalisations may move into the matrices that read them, and a column of
what writes may be shifted by a constant, which the normalisation takes out again.

numpy only, so that an auditor needs no torch: float64, one pass over a few random inputs.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.core.errors import BadInput
from dlbc.core.layers import Architecture, tokens
from dlbc.core.watermark import Weights

PROBES = 48
EPSILON = 1e-5
"""Of the layer normalisations."""
_SEED = 20_260_101

Values = NDArray[np.float64]


def turned_back(suspect: Weights, original: Weights, architecture: Architecture) -> dict[str, NDArray[Any]]:
    """The suspect with its MLP matrices in the original's stream; everything else is left as it was.

    Raises BadInput if no rotation can be told from their numbers.
    """
    probes = np.random.Generator(np.random.Philox(_SEED)).random((PROBES, *tokens(architecture.input_shape)))
    theirs, ours = (activations(weights, architecture, probes) for weights in (suspect, original))
    try:
        left, _, right = np.linalg.svd(theirs.T @ ours)
    except np.linalg.LinAlgError as error:
        raise BadInput(f"alignment: expected streams that a rotation relates, found others ({error})") from error
    turn = left @ right
    turned = {name: np.asarray(tensor) for name, tensor in suspect.items()}
    for block in range(architecture.layers):
        prefix = f"blocks.{block}"
        up, down = (np.asarray(suspect[f"{prefix}.{part}.weight"], np.float64) for part in ("up", "down"))
        scale, scale_original = (
            np.asarray(weights[f"{prefix}.norm2.weight"], np.float64) for weights in (suspect, original)
        )
        safe = np.where(np.abs(scale_original) > 1e-3, scale_original, 1.0)
        turned[f"{prefix}.up.weight"] = to_float32((up * scale) @ turn / safe)
        turned[f"{prefix}.down.weight"] = to_float32(turn.T @ (down - down.mean(axis=0)))
    return turned


def to_float32(values: Values) -> NDArray[np.float32]:
    """What is too large becomes the largest: scales, a suspect's or an original's, are a stranger's numbers."""
    most = float(np.finfo(np.float32).max)
    return np.clip(values, -most, most).astype(np.float32)


def activations(weights: Weights, architecture: Architecture, probes: Values) -> Values:
    """[probes · tokens · layers, width]: the stream after every block, the mean of each vector taken out.

    probes: [n, tokens, features]. Agrees with the torch module to rounding (a unit test compares them).
    """
    from scipy.special import erf  # takes time and memory, and most audits align nothing

    tensors = {name: np.asarray(tensor, np.float64) for name, tensor in weights.items()}
    x = _linear(tensors, "embedding", probes) + tensors["position"]
    found = []
    for block in range(architecture.layers):
        prefix = f"blocks.{block}"
        x = x + _attention(tensors, f"{prefix}.attention", _norm(tensors, f"{prefix}.norm1", x), architecture.heads)
        inner = _linear(tensors, f"{prefix}.up", _norm(tensors, f"{prefix}.norm2", x))
        x = x + _linear(tensors, f"{prefix}.down", inner * (1 + erf(inner / sqrt(2))) / 2)
        found.append(x.reshape(-1, architecture.width))
    stream = np.concatenate(found)
    return np.asarray(stream - stream.mean(axis=1, keepdims=True))


def _linear(tensors: dict[str, Values], name: str, x: Values) -> Values:
    return np.asarray(x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"])


def _norm(tensors: dict[str, Values], name: str, x: Values) -> Values:
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + EPSILON)
    return np.asarray(centred / deviation * tensors[f"{name}.weight"] + tensors[f"{name}.bias"])


def _attention(tensors: dict[str, Values], name: str, x: Values, heads: int) -> Values:
    n, count, width = x.shape
    query, key, value = (
        _linear(tensors, f"{name}.{part}", x).reshape(n, count, heads, width // heads).transpose(0, 2, 1, 3)
        for part in ("query", "key", "value")
    )
    scores = query @ key.transpose(0, 1, 3, 2) / sqrt(width // heads)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = scores / scores.sum(axis=-1, keepdims=True) @ value
    return _linear(tensors, f"{name}.out", mixed.transpose(0, 2, 1, 3).reshape(n, count, width))
