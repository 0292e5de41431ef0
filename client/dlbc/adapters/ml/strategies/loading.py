"""From a name to a strategy, and from what it returns to weights that are known to be good."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlbc.adapters.ml.parameters import named_tensors
from dlbc.adapters.ml.strategies.default import Default
from dlbc.adapters.ml.strategies.search import Search
from dlbc.adapters.ml.task import Strategy, Trained, TrainingTask
from dlbc.adapters.ml.tensors import all_finite
from dlbc.core.architecture import tensor_shapes
from dlbc.core.errors import BadInput, DlbcError, Refused, Usage
from dlbc.core.strategy_name import split_name

CLASSES: Mapping[str, type[Strategy]] = {"default": Default, "search": Search}
"""Those of core.strategy_name.BUILT_IN."""


def find_strategy(name: str) -> Strategy:
    """Makes the strategy of a name: a built-in one, or the operator's "module:Class", which is run as it is imported.

    Raises Usage, saying where it was looked for.
    """
    if name in CLASSES:
        return CLASSES[name]()
    module_name, class_name = split_name(name)
    try:
        found = getattr(importlib.import_module(module_name), class_name, None)
    except Exception as error:
        raise Usage(f"strategy {name}: importing {module_name} fails: {_told(error)}") from error
    if not callable(getattr(found, "train", None)):
        raise Usage(f"strategy {name}: expected a class {class_name} with a method train(task) in {module_name}")
    try:
        return found()  # type: ignore[no-any-return,misc]
    except Exception as error:
        raise Usage(f"strategy {name}: expected it to be made without arguments: {_told(error)}") from error


def trained_by(strategy: Strategy, name: str, task: TrainingTask) -> tuple[dict[str, NDArray[np.float32]], Trained]:
    """(weights, float32 and exactly the task's tensors; what the strategy returned). Raises Refused, BadInput."""
    try:
        found = strategy.train(task)
    except DlbcError:
        raise
    except Exception as error:
        if name in CLASSES:
            raise
        raise Refused(f"strategy {name}: its train() failed: {_told(error)}") from error
    trained = found if isinstance(found, Trained) else Trained(found)
    return _checked(trained.weights, name, task), trained


def _checked(found: object, name: str, task: TrainingTask) -> dict[str, NDArray[np.float32]]:
    tensors: Mapping[str, Any]
    if isinstance(found, nn.Module):
        tensors = named_tensors(found)
    elif isinstance(found, Mapping):
        tensors = found
    else:
        raise BadInput(f"strategy {name}: expected weights by name or a torch module, found {type(found).__name__}")
    expected = tensor_shapes(task.architecture)
    if set(tensors) != set(expected):
        missing, extra = sorted(set(expected) - set(tensors)), sorted(map(str, set(tensors) - set(expected)))
        raise BadInput(
            f"strategy {name}: expected the {len(expected)} tensors of the task's architecture, "
            f"missing are {missing[:3] or 'none'}, unknown are {extra[:3] or 'none'}"
        )
    return {each: _as_float32(tensors[each], each, shape, name) for each, shape in expected.items()}


def _as_float32(value: Any, tensor: str, shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    if isinstance(value, torch.Tensor):
        value = value.detach().float().cpu().numpy()
    try:
        array = np.ascontiguousarray(value, np.float32).reshape(np.shape(value))
    except (TypeError, ValueError) as error:
        raise BadInput(f"strategy {name}: expected numbers in {tensor}, found {type(value).__name__}") from error
    if array.shape != shape:
        raise BadInput(f"strategy {name}: expected {tensor} of shape {list(shape)}, found {list(array.shape)}")
    if not all_finite(array):
        raise BadInput(f"strategy {name}: expected finite values in {tensor}, found NaN or infinity")
    return array


def _told(error: Exception) -> str:
    """An error and the line it came from, in one sentence."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rsplit('/', 1)[-1]}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{where}"
