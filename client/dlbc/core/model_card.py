"""What a pulled model says of itself: a model card in Markdown, with the front matter that model hubs read, and a
configuration that programs read.

The requester chose the task's name and licence, the miner nothing that is printed here. Names go into code spans and
into quoted YAML, where no character means anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from dlbc.core import canonical
from dlbc.core.architecture import Architecture, architecture_to_json, logits_shape
from dlbc.core.audit_document import Ancestor
from dlbc.core.license import hub_license
from dlbc.core.types import Address, Hash32, TaskId, Timestamp, Wei
from dlbc.core.units import format_amount, format_ppm

WEIGHTS, CONFIG, CARD, LOADER = "model.safetensors", "config.json", "README.md", "load.py"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Everything that is told about a settled model."""

    chain_id: int
    market: Address
    task_id: TaskId
    round: int
    name: str
    license: str  # SPDX; "" if the requester named none
    requester: Address
    miner: Address
    model_hash: Hash32
    watermark_root: Hash32
    architecture: Architecture
    training_samples: int
    test_samples: int
    total: int  # samples it got right
    score_ppm: int
    min_score_ppm: int
    block_height: int
    block_hash: Hash32
    settled_at: Timestamp
    lineage: tuple[Ancestor, ...]  # the declared parent first
    royalty_bps: int
    royalty_wei: Wei  # what the parent's miner got


def record_of(facts: ModelFacts) -> dict[str, str | int]:
    """Where the ledger records the model, in few words: for files that hold no more."""
    return {
        "chain_id": facts.chain_id,
        "market": facts.market,
        "task": facts.task_id,
        "round": facts.round,
        "block_height": facts.block_height,
        "block_hash": "0x" + facts.block_hash.hex(),
        "miner": facts.miner,
        "model_hash": facts.model_hash.hex(),
    }


def config(facts: ModelFacts) -> str:
    """config.json: what a program needs to build the model, and where it is recorded."""
    value = {
        "model_type": f"dlbc-{facts.architecture.family}",
        "name": facts.name,
        "architecture": architecture_to_json(facts.architecture),
        "input": {"dtype": "float32", "shape": ["batch", *facts.architecture.input_shape]},
        "output": {"dtype": "float32", "shape": ["batch", *logits_shape(facts.architecture)], "meaning": "logits"},
        "preprocessing": None,  # a manifest names none: samples are what the task's shards hold
        "license": facts.license or None,
        "score_ppm": facts.score_ppm,
        "test_samples": facts.test_samples,
        "dlbc": record_of(facts),
    }
    return json.dumps(value, indent=2) + "\n"


def card(facts: ModelFacts) -> str:
    """README.md."""
    parts = [_front_matter(facts), _title(facts), _model(facts), _score(facts), _record(facts), _lineage(facts)]
    return "\n".join([*parts, _license(facts), _watermark(facts), _verify(facts), _use(facts)])


def _front_matter(facts: ModelFacts) -> str:
    """YAML in the schema of the Hugging Face Hub's model cards; JSON's quoted texts are YAML's too."""
    identifier, name = hub_license(facts.license)
    named = f"license_name: {_quoted(name)}\n" if name else ""
    return f"""\
---
license: {_quoted(identifier)}
{named}library_name: "pytorch"
tags:
- "dlbc"
- "pytorch"
- "safetensors"
- "watermarked"
- {_quoted(facts.architecture.family)}
metrics:
- "accuracy"
model-index:
- name: {_quoted(facts.name)}
  results:
  - task:
      type: {_quoted(_task_type(facts.architecture))}
    dataset:
      type: "dlbc-test-set"
      name: {_quoted(f"sealed test set of task {facts.task_id}, round {facts.round}")}
      split: "test"
    metrics:
    - type: "accuracy"
      value: {facts.score_ppm // 10**6}.{facts.score_ppm % 10**6:06d}
      name: "Top-1 accuracy"
---
"""


def _title(facts: ModelFacts) -> str:
    return f"""\
# Task {facts.task_id}, round {facts.round}: {_code(facts.name)}

This model won a training task on a DLBC market, a ledger whose useful work is training deep-learning
models. Its score was computed on a test set that was sealed while it was trained, and can be computed
again by anybody. `{WEIGHTS}` is the ledger's record, byte for byte; the other files here describe it.
"""


def _model(facts: ModelFacts) -> str:
    shape, outputs = facts.architecture.input_shape, logits_shape(facts.architecture)
    return f"""\
## The model

- Architecture: {_code(canonical.to_bytes(architecture_to_json(facts.architecture)).decode())}
- Input: float32, `{_shape(shape)}`. Output: one logit for each class, `{_shape(outputs)}`.
- Preprocessing: the task names none. Samples are expected as they are in the task's training data.
- Trained on {facts.training_samples:,} samples. The name above is the requester's own.
"""


def _score(facts: ModelFacts) -> str:
    return f"""\
## Score

**{format_ppm(facts.score_ppm)}** top-1 accuracy ({facts.score_ppm:,} parts per million):
{facts.total:,} of {facts.test_samples:,} held-out samples.

The task asked for at least {format_ppm(facts.min_score_ppm)}. The test set was sealed before the task was
posted, and released after all miners had committed to their models; until then the requester alone knew it.
It says nothing about other data.
"""


def _record(facts: ModelFacts) -> str:
    return f"""\
## Where it is recorded

| | |
|---|---|
| chain id | {facts.chain_id} |
| market | `{facts.market}` |
| task, round | {facts.task_id}, {facts.round} |
| ledger block | height {facts.block_height}, hash `0x{facts.block_hash.hex()}` |
| settled | {_moment(facts.settled_at)} |
| requester | `{facts.requester}` |
| miner | `{facts.miner}` |
| sha256 of the weights | `{facts.model_hash.hex()}` |
"""


def _lineage(facts: ModelFacts) -> str:
    royalty = f"{facts.royalty_bps / 100:g} %"
    if not facts.lineage:
        return f"""\
## Lineage

No parent was declared: the miner says that it trained from random weights. (The miner of a declared
parent would have got a royalty of {royalty}.)
"""
    lines = "\n".join(f"{number}. {_ancestor(each)}" for number, each in enumerate(facts.lineage, 1))
    return f"""\
## Lineage

Training went on from these models, the nearest first, as their miners declared:

{lines}

The parent's miner got a royalty of {royalty}, {format_amount(facts.royalty_wei)}.
"""


def _ancestor(ancestor: Ancestor) -> str:
    name = f"`{ancestor.model_hash.hex()}`"
    if ancestor.task_id is None:
        return f"{name}, which this ledger does not know"
    score = "" if ancestor.score_ppm is None else f", {format_ppm(ancestor.score_ppm)}"
    return f"{name}: task {ancestor.task_id}, round {ancestor.round}{score}, miner `{ancestor.miner}`"


def _license(facts: ModelFacts) -> str:
    if not facts.license:
        said = "The requester named no licence. Ask the requester before you use the model for more than checking it."
    else:
        said = f"{_code(facts.license)} (an SPDX identifier), as the requester named it when the task was posted."
    return f"## Licence\n\n{said}\n"


def _watermark(facts: ModelFacts) -> str:
    return f"""\
## Watermark

The weights carry the miner's watermark: a signal spread over them under secret keys that are bound to
this chain, market, task, round and miner. It is no copy protection, it is evidence: of whose work a copy
is. The Merkle root of its keys is `0x{facts.watermark_root.hex()}`.
The key of the first slot is public since the model was opened, so anybody can read that mark; the keys
of the other slots are secret until their owner needs them.

Measured, the mark stays readable after fine-tuning, pruning, quantisation and the reordering of units;
it does not survive training again from scratch, distillation, or keeping a twentieth of the weights and
training the rest again. Figures and limits are in docs/watermark.md of the project. Who removes the
public slot's mark from a copy has not removed the others, and a model that carries somebody's earlier
mark without declaring it as a parent can be struck from this ledger's contests.
"""


def _verify(facts: ModelFacts) -> str:
    task = f"{facts.task_id} --round {facts.round}"
    where = f"DLBC_MARKET={facts.market} DLBC_CHAIN_ID={facts.chain_id}"
    return f"""\
## Check it yourself

```
sha256sum {WEIGHTS}    # {facts.model_hash.hex()}

# with the dlbc client, any RPC endpoint of chain {facts.chain_id} and any IPFS node; no account
export {where} DLBC_RPC_URL=... DLBC_IPFS_API=...
dlbc model verify {WEIGHTS} --task {task}
dlbc audit {task}
dlbc watermark detect {WEIGHTS} --all
```
"""


def _use(facts: ModelFacts) -> str:
    return f"""\
## Use it

`{LOADER}` needs PyTorch and safetensors, and nothing of the dlbc client:

```python
import torch
from load import load

model = load()  # in eval mode, on the CPU
logits = model(torch.zeros({_shape((2, *facts.architecture.input_shape))}))  # two samples
classes = logits.argmax(1)
```
"""


def _task_type(architecture: Architecture) -> str:
    """One of the Hub's task types: [channels, height, width] is an image, a flat sample a table's row."""
    return {1: "tabular-classification", 3: "image-classification"}.get(len(architecture.input_shape), "other")


def _shape(sizes: tuple[int, ...]) -> str:
    return ", ".join(str(size) for size in sizes)


def _moment(timestamp: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return str(timestamp)


def _quoted(text: str) -> str:
    """A quoted text of YAML: JSON's, as long as every character can be printed."""
    return json.dumps(_printable(text), ensure_ascii=False)


def _code(text: str) -> str:
    """A code span of Markdown: within a longer run of backticks than the text has, nothing else means anything."""
    text, fence = _printable(text), "`"
    while fence in text:
        fence += "`"
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
