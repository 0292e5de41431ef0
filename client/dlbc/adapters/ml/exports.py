"""The Exports port: a loader's source, and ONNX through torch's own exporter. No torch until it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dlbc.core.architecture import Architecture, stored_values
from dlbc.core.errors import Refused, Usage
from dlbc.ports import OnnxFile

LOADERS = {"mlp": "net", "cnn": "net", "resnet": "resnet", "transformer": "transformer"}
"""Of the families that tasks can be posted for."""
MAX_ONNX_BYTES = 2**31 - 2**24
"""A protocol buffer holds less than 2 GiB; the graph takes its part."""


class FileExports:
    """Implements ports.Exports."""

    def loader(self, architecture: Architecture) -> bytes:
        if architecture.family not in LOADERS:
            raise Refused(
                f"a folder can be written for the families {', '.join(LOADERS)}, this model is a "
                f"{architecture.family}; pull it with --format safetensors"
            )
        return (Path(__file__).parent / "loaders" / f"{LOADERS[architecture.family]}.py").read_bytes()

    def check_onnx(self, architecture: Architecture) -> None:
        missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
        if missing:
            raise Usage(
                f"ONNX needs the package{'s' * (len(missing) > 1)} {' and '.join(missing)}, not installed here; "
                "install the extra `export` (pip install 'dlbc[export]') or use --format safetensors"
            )
        size = 4 * stored_values(architecture)
        if size > MAX_ONNX_BYTES:
            raise Refused(
                f"an ONNX file holds at most {MAX_ONNX_BYTES} bytes of weights, this model has {size}; pull it with "
                "--format safetensors"
            )

    def to_onnx(self, weights: Mapping[str, Any], architecture: Architecture, about: Mapping[str, str]) -> bytes:
        self.check_onnx(architecture)
        from dlbc.adapters.ml.onnx_file import write_onnx

        return write_onnx(weights, architecture, about)

    def read_onnx(self, data: bytes) -> OnnxFile:
        from dlbc.adapters.ml.onnx_file import read_onnx

        return read_onnx(data)
