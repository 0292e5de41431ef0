"""What converting a pulled model to ONNX costs: seconds and memory, for models of several sizes.

    python bench/exports.py [--quick]      -> bench/results/exports.json

Each model is converted in a process of its own. Its memory is what the process had at most beyond what it had after
converting a tiny one, so that torch and onnx themselves are not counted; beside it, in sizes of the model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _help import parser_of
from dlbc.adapters.ml.exports import FileExports
from dlbc.adapters.ml.families import initial_weights
from dlbc.adapters.ml.weights import check_model, save_model
from dlbc.core.architecture import Architecture, stored_values

RESULTS = Path(__file__).parent / "results" / "exports.json"
TINY = Architecture("mlp", (4,), 2, ())
MODELS = {
    "digits mlp": Architecture("mlp", (1, 8, 8), 10, (256, 128)),
    "fashion cnn": Architecture("cnn", (1, 28, 28), 10, (128,), (32, 64)),
    "fashion resnet": Architecture("resnet", (1, 28, 28), 10, (), (16, 32, 64), (1, 1, 1)),
    "fashion transformer": Architecture("transformer", (1, 28, 28), 10, (), width=64, heads=4, layers=2),
    "mlp of 67 M values": Architecture("mlp", (8192,), 10, (8192,)),
}
QUICK = 4


def main() -> None:
    """Measures each model and writes the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="only the models of the examples; nothing is written")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, file = options.one
        print(json.dumps(measured(MODELS[name], Path(file))))
        return
    found = {}
    for name in list(MODELS)[: QUICK if options.quick else None]:
        with tempfile.TemporaryDirectory(prefix="dlbc-bench-") as folder:
            file = Path(folder) / "model.safetensors"
            save_model(initial_weights(MODELS[name], bytes(32)), file)
            command = [sys.executable, __file__, "--one", name, str(file)]
            found[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(f"{name:<22} {found[name]['seconds']:6.1f} s  {found[name]['model_mb']:8.1f} MB model", end="  ")
        print(f"{found[name]['memory_mb']:8.1f} MB memory")
    if not options.quick:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def measured(architecture: Architecture, file: Path) -> dict[str, float]:
    """One conversion, after a tiny one that has loaded the libraries."""
    exports, size = FileExports(), 4 * stored_values(architecture)
    began = time.perf_counter()
    exports.to_onnx(initial_weights(TINY, bytes(32)), TINY, {})
    first, before = time.perf_counter() - began, peak_bytes()
    began = time.perf_counter()
    data = exports.to_onnx(check_model(file, architecture, max_bytes=size + 2**20), architecture, {})
    seconds = time.perf_counter() - began
    memory = peak_bytes() - before
    return {
        "values": stored_values(architecture),
        "model_mb": round(size / 1e6, 2),
        "onnx_mb": round(len(data) / 1e6, 2),
        "seconds": round(seconds, 2),
        "seconds_to_load_libraries": round(first, 2),
        "memory_mb": round(memory / 1e6, 1),
        "memory_in_models": round(memory / size, 2),
    }


def peak_bytes() -> int:
    """The most memory this program has had; what rusage tells may be that of the process it was started by."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    main()
