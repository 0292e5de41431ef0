"""Everything that needs torch, safetensors or training data.

`from dlbc.adapters.ml import load_module` is the Python call for a pulled model. Importing this package does not
import torch; the functions that need it do.
"""

from dlbc.adapters.ml.trainer import TorchTrainer
from dlbc.adapters.ml.weights import load_module

__all__ = ["TorchTrainer", "load_module"]
