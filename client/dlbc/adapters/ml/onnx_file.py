"""ONNX files: a model converted by torch's exporter, and files of strangers taken apart. onnx lives only here."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import checker, inliner, shape_inference

from dlbc.adapters.ml.families import build, load_weights
from dlbc.core.architecture import Architecture
from dlbc.core.errors import Refused, VerificationFailed
from dlbc.ports import OnnxFile

OPSET = 18
"""The version of ONNX's operators that torch's translations are written in, and that every present runtime reads."""
DOCSTRING = (
    "Converted from a safetensors file. That file, whose sha256 is model_hash in the metadata, is what the ledger "
    "records; `dlbc model verify` compares this one with what the client makes of it."
)


def write_onnx(weights: Mapping[str, Any], architecture: Architecture, about: Mapping[str, str]) -> bytes:
    """The bytes of one ONNX file: input "x" float32 [batch, *input_shape], output "logits", initializers by the names
    of `weights`. Peak memory is about five times the model's beside what torch and onnx take themselves.
    """
    try:
        model = _converted(weights, architecture)
        _forget_sources(model.graph)
        model.producer_version = torch.__version__.partition("+")[0]  # builds for other devices convert alike
        model.doc_string = DOCSTRING
        for key in sorted(about):
            model.metadata_props.add(key=key, value=about[key])
        data: bytes = model.SerializeToString(deterministic=True)
        del model  # checking takes copies of its own
        checker.check_model(data, full_check=True)
    except (torch.onnx.OnnxExporterError, checker.ValidationError, shape_inference.InferenceError) as error:
        raise Refused(
            f"torch {torch.__version__} and onnx {onnx.__version__} can't convert this model "
            f"({(str(error).strip() or 'no reason given').splitlines()[0][:200]}); pull it with --format safetensors"
        ) from error
    return data


def read_onnx(data: bytes) -> OnnxFile:
    """See ports.Exports. Nothing is loaded from beside the file, and no tensor is unpacked."""
    model: Any = onnx.ModelProto()  # its methods have no types
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise VerificationFailed(f"ONNX file: expected one, found {len(data)} bytes of something else") from error
    if not model.graph.node:
        raise VerificationFailed(f"ONNX file: expected a graph, found none in {len(data)} bytes")
    tensors: dict[str, bytes] = {}
    for tensor in model.graph.initializer:
        name = _text(tensor.name)
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise VerificationFailed(f"ONNX file: expected all weights in it, found {_shown(name)} elsewhere")
        if name in tensors:
            raise VerificationFailed(f"ONNX file: expected each weight once, found {_shown(name)} twice")
        tensors[name] = tensor.SerializeToString(deterministic=True)
    about = {_text(entry.key): _text(entry.value) for entry in model.metadata_props}
    producer = _shown(f"{_text(model.producer_name)} {_text(model.producer_version)}")
    del model.graph.initializer[:], model.metadata_props[:]
    return OnnxFile(tensors, about, model.SerializeToString(deterministic=True), producer)


def _converted(weights: Mapping[str, Any], architecture: Architecture) -> Any:
    """As torch's exporter makes it, without functions of its own."""
    module = build(architecture).eval()
    load_weights(module, weights)
    example = torch.zeros((2, *architecture.input_shape))  # of a single sample torch would make a constant
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["x"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: "batch"},),
            optimize=False,  # it folds weights into others, whose names and values nobody could compare
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    return inliner.inline_local_functions(model) if model.functions else model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints, warns and logs about itself."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _forget_sources(graph: Any) -> None:
    """Takes out what the exporter notes for debugging: lines of source, and the folders of this machine."""
    for message in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        message.ClearField("metadata_props")
        message.ClearField("doc_string")
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    _forget_sources(inner)


def _text(value: str | bytes) -> str:
    """Texts that are not UTF-8 come as bytes."""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def _shown(text: str) -> str:
    return ascii(text)[1:-1][:60]
