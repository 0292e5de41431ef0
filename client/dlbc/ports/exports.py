"""Models in forms that other programs read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dlbc.core.architecture import Architecture


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """An ONNX file taken apart, so that two can be compared."""

    tensors: Mapping[str, bytes]  # name, dtype, shape and values of each initializer, by its name
    about: Mapping[str, str]  # its metadata
    rest: bytes  # the graph and everything else
    producer: str  # what it says made it, e.g. "pytorch 2.13.0"


class Exports(Protocol):
    """Models in forms that other programs read. The safetensors file stays what the ledger records."""

    def loader(self, architecture: Architecture) -> bytes:
        """A Python program that builds the model from the files beside it, without the client. Raises Refused."""
        ...

    def check_onnx(self, architecture: Architecture) -> None:
        """Raises Usage where what it takes is not installed, Refused for a model too large for one file."""
        ...

    def to_onnx(self, weights: Mapping[str, Any], architecture: Architecture, about: Mapping[str, str]) -> bytes:
        """One ONNX file, float32, any number of samples at once, `about` as its metadata.

        The same libraries make the same bytes of the same model. Raises as `check_onnx` does.
        """
        ...

    def read_onnx(self, data: bytes) -> OnnxFile:
        """Raises VerificationFailed for anything but one ONNX file that needs no other."""
        ...
