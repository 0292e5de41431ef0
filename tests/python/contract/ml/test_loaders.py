"""load.py of a pulled folder, run as a stranger runs it: torch and safetensors, and nothing of the client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from dlbc.adapters.ml import load_module
from dlbc.adapters.ml.evaluate import logits
from dlbc.adapters.ml.exports import LOADERS, FileExports
from dlbc.adapters.ml.families import initial_weights
from dlbc.adapters.ml.weights import save_model
from dlbc.core.architecture import CLASSIFIERS, Architecture, architecture_to_json
from dlbc.core.errors import Refused
from torch.nn.attention import SDPBackend, sdpa_kernel

pytestmark = pytest.mark.contract

SAMPLES = 7
ARCHITECTURES = [
    Architecture("mlp", (64,), 10, ()),
    Architecture("mlp", (1, 8, 8), 10, (32, 16)),
    Architecture("cnn", (3, 9, 11), 4, (20,), (8, 12)),
    Architecture("cnn", (1, 8, 8), 10, (), (16,)),
    Architecture("resnet", (2, 9, 8), 5, (), (8, 16), (1, 2)),
    Architecture("transformer", (1, 8, 8), 10, (), width=16, heads=4, layers=2),
    Architecture("transformer", (2, 3, 7, 5), 6, (), width=12, heads=2, layers=1),
]
PROGRAM = """
import runpy, sys
import numpy, torch
torch.set_num_threads(int(sys.argv[4]))
model = runpy.run_path(sys.argv[1])["load"]()
assert not model.training
with torch.no_grad():
    found = model(torch.from_numpy(numpy.load(sys.argv[2])).clone())
numpy.save(sys.argv[3], found.numpy())
assert not [name for name in sys.modules if name.split(".")[0] == "dlbc"]
"""


def test_loaders__every_family_that_a_task_can_have__has_one_of_at_most_60_lines() -> None:
    """Short enough to be read before it is run; the others are refused by name."""
    assert set(LOADERS) == set(CLASSIFIERS)
    for architecture in ARCHITECTURES:
        text = FileExports().loader(architecture).decode()
        assert len(text.splitlines()) <= 60
        assert "dlbc" not in text
    with pytest.raises(Refused, match="this model is a unet"):
        FileExports().loader(Architecture("unet", (1, 8, 8), 6, (), (4, 8)))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda each: f"{each.family}-{len(each.input_shape)}")
def test_loader__in_a_process_of_its_own__gives_the_client_s_logits_to_the_bit(
    architecture: Architecture, tmp_path: Path
) -> None:
    """Isolated, from another folder. The last bits of a matrix product follow where its input lies in memory: both
    have theirs from torch, which aligns it. The evaluator takes it from numpy, and agrees up to these bits.
    """
    folder, chance = tmp_path / "model", np.random.default_rng(3)
    folder.mkdir()
    weights = initial_weights(architecture, b"\x05" * 32)
    for name in weights:
        if name.endswith(("bias", "mean")):
            weights[name] = chance.standard_normal(weights[name].shape, dtype=np.float32)
        if name.endswith("running_var") or (name.endswith("weight") and weights[name].ndim == 1):
            weights[name] = chance.uniform(0.5, 2, weights[name].shape).astype(np.float32)
    save_model(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": architecture_to_json(architecture)}))
    (folder / "load.py").write_bytes(FileExports().loader(architecture))
    x = chance.standard_normal((SAMPLES, *architecture.input_shape), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)

    paths = [str(path) for path in (folder / "load.py", tmp_path / "x.npy", tmp_path / "y.npy")]
    arguments = [*paths, str(torch.get_num_threads())]
    ended = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )

    assert ended.returncode == 0, ended.stderr
    found = np.load(tmp_path / "y.npy")
    module = load_module(folder / "model.safetensors", architecture)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        np.testing.assert_array_equal(module(torch.from_numpy(x).clone()).numpy(), found)
    np.testing.assert_allclose(logits(weights, architecture, x), found, rtol=1e-4, atol=1e-4)


def test_loader__weights_of_another_architecture__are_refused(tmp_path: Path) -> None:
    """load_state_dict is strict: no tensor is left out or filled with chance."""
    architecture = ARCHITECTURES[1]
    save_model(initial_weights(ARCHITECTURES[0], b"\x05" * 32), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": architecture_to_json(architecture)}))
    (tmp_path / "load.py").write_bytes(FileExports().loader(architecture))
    ended = subprocess.run(
        [sys.executable, "-I", "-c", "import runpy, sys; runpy.run_path(sys.argv[1])['load']()", tmp_path / "load.py"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "Missing key(s) in state_dict" in ended.stderr
