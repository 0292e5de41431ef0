"""Exports without torch and onnx: an "ONNX file" is JSON of what it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from dlbc.core.architecture import Architecture
from dlbc.core.errors import Usage, VerificationFailed
from dlbc.ports import OnnxFile


class FakeExports:
    """ports.Exports. With `missing` it lacks what ONNX needs."""

    def __init__(self, *, missing: bool = False, graph: str = "graph") -> None:
        self.missing, self.graph = missing, graph

    def loader(self, architecture: Architecture) -> bytes:
        return f"# builds {architecture.family}\n".encode()

    def check_onnx(self, architecture: Architecture) -> None:
        if self.missing:
            raise Usage("ONNX needs the package onnx, not installed here")

    def to_onnx(self, weights: Mapping[str, Any], architecture: Architecture, about: Mapping[str, str]) -> bytes:
        self.check_onnx(architecture)
        tensors = {name: sha256(tensor.tobytes()).hexdigest() for name, tensor in weights.items()}
        return json.dumps({"tensors": tensors, "about": dict(about), "graph": self.graph}).encode()

    def read_onnx(self, data: bytes) -> OnnxFile:
        try:
            value = json.loads(data)
        except ValueError as error:
            raise VerificationFailed("ONNX file: expected one, found something else") from error
        tensors = {name: digest.encode() for name, digest in value["tensors"].items()}
        return OnnxFile(tensors, value["about"], value["graph"].encode(), "fake 1.0")
