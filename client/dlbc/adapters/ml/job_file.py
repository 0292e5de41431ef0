"""A TrainJob on its way to the training processes: what is public as job.json, the keys apart, never on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlbc.core.architecture import architecture_from_json, architecture_to_json
from dlbc.ports import TrainJob

NOT_THE_MODEL = ("budget", "device")
"""A restart has less time, and may be on another device or on more of them: its checkpoint is of the same job."""


def public_part(job: TrainJob) -> dict[str, Any]:
    """Everything but the keys."""
    return {
        "architecture": architecture_to_json(job.architecture),
        "shards": [str(path.resolve()) for path in job.shards],
        "epochs": job.epochs,
        "batch": job.batch,
        "learning_rate": job.learning_rate,
        "device": job.device,
        "seed": job.seed,
        "start": None if job.start is None else str(job.start.resolve()),
        "budget": job.budget,
        "patience": job.patience,
        "deterministic": job.deterministic,
        "strategy": job.strategy,
    }


def secret_part(job: TrainJob) -> dict[str, Any]:
    """The keys, and what is embedded under them."""
    return {
        "init_key": job.init_key.hex(),
        "slot_keys": [key.hex() for key in job.slot_keys],
        "payloads": [payload.hex() for payload in job.payloads],
    }


NO_SECRETS: Mapping[str, Any] = {"init_key": "", "slot_keys": [], "payloads": []}
"""For those who help to train and do not need them."""


def fingerprint(public: Mapping[str, Any], secrets: Mapping[str, Any]) -> str:
    """Names the job in its checkpoint and its result."""
    named = {name: value for name, value in public.items() if name not in NOT_THE_MODEL}
    return hashlib.sha256(json.dumps([named, secrets], sort_keys=True).encode()).hexdigest()


def job_of(work: Path, public: Mapping[str, Any], secrets: Mapping[str, Any]) -> TrainJob:
    """The job again."""
    return TrainJob(
        work=work,
        architecture=architecture_from_json(public["architecture"]),
        shards=tuple(Path(path) for path in public["shards"]),
        epochs=public["epochs"],
        batch=public["batch"],
        learning_rate=public["learning_rate"],
        device=public["device"],
        seed=public["seed"],
        init_key=bytes.fromhex(secrets["init_key"]),
        slot_keys=tuple(bytes.fromhex(key) for key in secrets["slot_keys"]),
        payloads=tuple(bytes.fromhex(payload) for payload in secrets["payloads"]),
        start=None if public["start"] is None else Path(public["start"]),
        **{name: public[name] for name in ("budget", "patience", "deterministic", "strategy")},
    )
