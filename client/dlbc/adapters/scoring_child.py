"""The scoring process: `python -m dlbc.adapters.scoring_child MEMORY_BYTES PRELOAD`, requests on standard input.

What strangers publish is parsed here, and their models run here. It has no network, can write no file and start no
process (as far as the kernel allows, which its first message tells), and gets neither account nor settings. It ends
when its input does. Nothing of it is believed but numbers of the expected size.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO

from dlbc.adapters import confinement
from dlbc.adapters.scoring_wire import Broken, Piece, fill, receive, send, take
from dlbc.core.errors import BadInput, DlbcError, LimitReached, Usage, VerificationFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dlbc.core.architecture import Architecture

TOLD = (VerificationFailed, BadInput, Usage, LimitReached)
"""Errors that go to the other side by name; whatever else happens is a LimitReached there."""
STREAMED = ("predict", "logits")
"""Requests that are worked on while their input comes."""
_MAX_SENTENCE = 1_000

Answer = tuple[Mapping[str, Any], list[Piece]]


def main(memory_bytes: int, is_preloading: bool) -> int:
    """Answers requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    found = confinement.confine()
    confinement.end_with_parent()
    confinement.limit_self(memory_bytes or None, 0)
    try:
        send(sink, {"dlbc_scoring": 1, **asdict(found)})
        if is_preloading:  # beside what is parsed meanwhile: that does without torch
            threading.Thread(target=_import_evaluator).start()
        while True:
            request = receive(source)
            message, pieces = _answered(request, source)
            send(sink, message, pieces)
            if "error" in message and request.get("do") in STREAMED:
                return 0  # the rest of its input is still on the way
    except Broken:
        return 0


def _answered(request: dict[str, Any], source: BinaryIO) -> Answer:
    """What to answer. Raises Broken only: every other error is an answer."""
    confinement.limit_processor(int(request["processor_seconds"]) + _spent())
    try:
        return _DO[request["do"]](request, source)
    except Broken:
        raise
    except MemoryError:
        return {"error": "LimitReached", "sentence": "memory ran out"}, []
    except DlbcError as error:
        kind = next((kind.__name__ for kind in TOLD if isinstance(error, kind)), LimitReached.__name__)
        return {"error": kind, "sentence": str(error)[:_MAX_SENTENCE]}, []
    except Exception as error:  # noqa: BLE001  (a bug that a stranger's bytes found must not look like a verdict)
        sentence = "memory ran out" if _is_out_of_memory(error) else f"{type(error).__name__}: {error}"
        return {"error": "LimitReached", "sentence": sentence[:_MAX_SENTENCE]}, []


def _spent() -> int:
    used = os.times()
    return int(used.user + used.system) + 1


# ------------------------------------------------------------------ what can be asked


def _locate_weights(request: dict[str, Any], source: BinaryIO) -> Answer:
    data = take(source, request["bytes"])
    from dlbc.adapters.ml.weights import locate_weights

    offsets = locate_weights(data, _architecture(request), max_bytes=request["max_bytes"])
    return {"offsets": offsets}, []


def _locate_samples(request: dict[str, Any], source: BinaryIO) -> Answer:
    data = take(source, request["bytes"])
    from dlbc.adapters.ml.shards import locate_samples

    places = locate_samples(data, input_shape=request["input_shape"], classes=request["classes"])
    return {"places": list(places)}, []


def _predict(request: dict[str, Any], source: BinaryIO) -> Answer:
    import numpy as np

    from dlbc.core.architecture import logits_shape

    architecture, count = _architecture(request), request["samples"]
    classes = np.empty((count, *logits_shape(architecture)[1:]), np.int64)
    done = 0
    for values in _evaluated(architecture, count, request["device"], source):
        classes[done : done + len(values)] = values.argmax(1)
        done += len(values)
    return {"samples": count}, [_bytes_of(classes)]


def _logits(request: dict[str, Any], source: BinaryIO) -> Answer:
    import numpy as np

    from dlbc.core.architecture import logits_shape

    architecture, count = _architecture(request), request["samples"]
    found = np.empty((count, *logits_shape(architecture)), np.float32)
    done = 0
    for values in _evaluated(architecture, count, request["device"], source):
        found[done : done + len(values)] = values
        done += len(values)
    return {"samples": count}, [_bytes_of(found)]


_DO: Mapping[str, Callable[[dict[str, Any], BinaryIO], Answer]] = {
    "locate weights": _locate_weights,
    "locate samples": _locate_samples,
    "predict": _predict,
    "logits": _logits,
}


# ------------------------------------------------------------------ inside


def _architecture(request: dict[str, Any]) -> Architecture:
    from dlbc.core.architecture import architecture_from_json

    return architecture_from_json(request["architecture"])


def _evaluated(architecture: Architecture, count: int, device: str, source: BinaryIO) -> Iterator[NDArray[np.float32]]:
    """Logits batch by batch, while the samples come. The weights go straight into the module; one batch is held."""
    import numpy as np

    _load_torch()
    from dlbc.adapters.ml.evaluate import batch_size, evaluate, pick_device
    from dlbc.adapters.ml.families import build
    from dlbc.core.architecture import tensor_shapes

    module = build(architecture)
    state = module.state_dict()
    for name in tensor_shapes(architecture):
        fill(source, _bytes_of(state[name].detach().numpy()))
    size = batch_size(architecture)

    def batches() -> Iterator[NDArray[np.float32]]:
        for start in range(0, count, size):
            batch = np.empty((min(size, count - start), *architecture.input_shape), np.float32)
            fill(source, _bytes_of(batch))
            yield batch

    return evaluate(module, batches(), pick_device(device))


def _import_evaluator() -> None:
    from dlbc.adapters.ml import evaluate  # noqa: F401


def _load_torch() -> None:
    """Imports it, or waits until it is imported. What is set here holds for this thread and those that it starts."""
    import torch

    # Denormal numbers make some processors a hundred times slower; a stranger's weights may be made of them.
    torch.set_flush_denormal(True)


def _bytes_of(values: Any) -> memoryview:
    """The memory of a contiguous array."""
    return memoryview(values.reshape(-1)).cast("B") if values.size else memoryview(b"")


def _is_out_of_memory(error: Exception) -> bool:
    if "torch" not in sys.modules:
        return False
    from dlbc.adapters.ml.memory import is_out_of_memory

    return is_out_of_memory(error)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2] == "preload"))
