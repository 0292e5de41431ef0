"""The commented TASK.toml that `dlbc task init` writes."""

from __future__ import annotations

import json

from dlbc.core.architecture import CLASSIFIERS
from dlbc.core.errors import BadInput

# Sizes, epochs and least score per data set, large enough for the watermark's two slots of 8,000 carriers each.
_MODELS = {
    ("digits", "mlp"): ("hidden = [256, 128]", 30, "0.9"),
    ("digits", "cnn"): ("channels = [32, 64]\nhidden = [64]", 20, "0.9"),
    ("digits", "resnet"): ("channels = [24, 48]\nblocks = [1, 1]", 15, "0.9"),
    ("digits", "transformer"): ("width = 64\nheads = 4\nlayers = 2", 30, "0.9"),
    ("fashion-mnist", "mlp"): ("hidden = [512, 256]", 15, "0.85"),
    ("fashion-mnist", "cnn"): ("channels = [32, 64]\nhidden = [128]", 6, "0.85"),
    ("fashion-mnist", "resnet"): ("channels = [16, 32, 64]\nblocks = [1, 1, 1]", 3, "0.85"),
    ("fashion-mnist", "transformer"): ("width = 64\nheads = 4\nlayers = 2", 5, "0.85"),
}
_OWN_DATA = {
    "mlp": ("hidden = [256, 128]", 20, "0.5"),
    "cnn": ("channels = [32, 64]\nhidden = [128]", 20, "0.5"),
    "resnet": ("channels = [32, 64]\nblocks = [1, 1]", 20, "0.5"),
    "transformer": ("width = 64\nheads = 4\nlayers = 2", 20, "0.5"),
}

_TEMPLATE = """\
# A training task. Post it with: dlbc --account NAME task post {path}
name = {name}

[data]
# digits, fashion-mnist, or the path of an .npz file, seen from this file's folder, with x_train, y_train, x_test and
# y_test, or x and y (samples first, class ids from 0). From x and y a fifth, drawn by the seed, becomes the test set,
# which miners get to see only after they have committed.
source = {source}
seed = 1

[model]
# mlp: flatten, then Linear+ReLU per hidden width. cnn: 3x3 convolution + ReLU + 2x2 pooling per channel count first.
# resnet: for each channel count a stage of so many residual blocks, the later stages at half the size each.
# transformer: every row of a sample is a token; the heads divide the width.
family = {family}
{sizes}

[training]
# What the workload (and with it the difficulty) is computed from; a miner may train as it likes.
epochs = {epochs}
batch = 128
learning_rate = 0.001

[money]
# "1.5 ether", "200 gwei" or whole wei. The deposit is what a miner with a false claim loses: 10 % to
# 100 % of the bounty, 35 % unless you say otherwise. Your bond is lost if you do not release: 10 % or more.
bounty = "1 ether"
deposit = "0.35 ether"
bond = "0.1 ether"
# The part of the prize that goes to the miner of a declared parent model.
royalty = 0.05

[windows]
# How long miners train, you may take to release, miners to reveal, the leader to open, anyone to check. These are for
# a local network, where they run in real time; elsewhere give everybody hours, and training what it needs.
train = "3m"
release = "5m"
reveal = "1m"
open = "2m"
challenge = "1m"

[scoring]
# The least share of correct answers that earns the bounty (nobody above it: the bounty comes back to you), and the
# share of predictions that may differ when they are computed again.
min_score = {min_score}
tolerance = 0.002
"""


def task_template(path: str, source: str, family: str) -> str:
    """The text of a new task file for a built-in data set or an .npz file (its path from the task file's folder).

    Raises BadInput for an unknown family.
    """
    if family not in CLASSIFIERS:
        raise BadInput(f"family: expected one of {', '.join(CLASSIFIERS)}, found {family[:40]!r}")
    sizes, epochs, min_score = _MODELS.get((source, family)) or _OWN_DATA[family]
    stem = source.removesuffix(".npz").replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in stem).strip("-")
    return _TEMPLATE.format(
        path=path,
        name=json.dumps(f"{name[:50] or 'task'}-{family}"),
        source=json.dumps(source, ensure_ascii=False),
        family=json.dumps(family),
        sizes=sizes,
        epochs=epochs,
        min_score=min_score,
    )
