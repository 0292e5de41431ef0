"""One training over two real ranks: as good as on one device, marked, resumed, and never an orphan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dlbc.adapters.ml import TorchTrainer, group, rank
from dlbc.adapters.ml.datasets import load_data
from dlbc.adapters.ml.job_file import fingerprint, public_part, secret_part
from dlbc.adapters.ml.rank import Assignment
from dlbc.adapters.ml.report import Reporter
from dlbc.adapters.ml.trainer import ChildHandle
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.devices import members
from dlbc.core.errors import Refused
from dlbc.ports import Dataset, TrainJob
from fakes import ranks
from fakes.shards import write_shards
from safetensors.numpy import load_file

pytestmark = [pytest.mark.contract, pytest.mark.timeout(600)]

DEADLINE = 280.0
SMALL = Architecture("mlp", (200,), 2, (200,))
FOR_EVER = 10**6
MLP = Architecture("mlp", (1, 8, 8), 10, (512, 256))
RESNET = Architecture("resnet", (1, 8, 8), 10, (), (24, 48), (1, 1))
KEYS = {
    "init_key": b"\x0a\x1b" * 16,
    "slot_keys": (b"\x0c\x2d" * 16, b"\x0e\x3f" * 16),
    "payloads": (b"\x04" * 32, b"\x05" * 32),
}


@pytest.fixture(autouse=True)
def _few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLBC_TORCH_THREADS", "2")


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    """Of 361 samples 325 are learned: six batches of 54, and a last one with fewer samples than ranks."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 361)
    x = random.standard_normal((361, 200), dtype=np.float32) + y[:, None].astype(np.float32)
    return job_for(SMALL, Dataset(x, y), tmp_path, epochs=12, batch=54)


def job_for(architecture: Architecture, data: Dataset, folder: Path, *, epochs: int, batch: int) -> TrainJob:
    return TrainJob(
        work=folder / "work",
        architecture=architecture,
        shards=write_shards(data, folder / "data"),
        epochs=epochs,
        batch=batch,
        learning_rate=2e-3,
        device="cpu+cpu",
        seed=0,
        **KEYS,  # type: ignore[arg-type]
    )


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@contextmanager
def started(job: TrainJob) -> Iterator[ChildHandle]:
    handle = TorchTrainer(grace=DEADLINE).start(job)
    assert isinstance(handle, ChildHandle)
    try:
        yield handle
    finally:
        handle.kill()


def train(job: TrainJob) -> dict[str, Any]:
    """Through the port, as the miner does: what result.json says."""
    with started(job) as handle:
        return finish(handle, job)


def finish(handle: ChildHandle, job: TrainJob) -> dict[str, Any]:
    wait_until(lambda: handle.poll().state in ("done", "failed"))
    handle.result()
    found: dict[str, Any] = json.loads((job.work / "result.json").read_bytes())
    return found


def ranks_of(pid: int) -> list[int]:
    """Processes below a training child that are ranks, in the order they were started."""
    with suppress(FileNotFoundError, ProcessLookupError):
        below = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [each for each in below if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]
    return []


def is_alive(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def has_trained(job: TrainJob) -> bool:
    return (job.work / "checkpoint.safetensors").exists()


def attempt(job: TrainJob) -> dict[str, Any]:
    """A group in this process, so that its ranks can be replaced."""
    job.work.mkdir(parents=True, exist_ok=True)
    public, secrets = public_part(job), secret_part(job)
    whole = Assignment(
        work=job.work,
        folder=job.work,
        rank=0,
        devices=members(job.device),
        threads=2,
        job=public,
        secrets=secrets,
        fingerprint=fingerprint(public, secrets),
        began=time.monotonic(),
    )
    return group.train(whole, Reporter(job.work, job.epochs))


def bits_wrong(job: TrainJob) -> int:
    weights = load_file(job.work / "model.safetensors")
    found = [
        watermark.detect(weights, key, slot, payload)
        for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True))
    ]
    assert all(one.is_detected for one in found)
    return sum(one.bits_wrong for one in found)


# ------------------------------------------------------------------ the same training


@pytest.mark.parametrize("architecture", [MLP, RESNET], ids=["mlp", "resnet"])
def test_group__digits__are_learned_as_well_as_on_one_device(architecture: Architecture, tmp_path: Path) -> None:
    """Also with batch normalisation, where each rank takes its own part's statistics. Marked without a wrong bit."""
    data = load_data("digits", seed=0)
    job = job_for(architecture, data.train, tmp_path, epochs=8, batch=64)

    alone = train(replace(job, work=tmp_path / "alone", device="cpu"))
    found = train(job)

    assert (alone["ranks"], found["ranks"], found["ranks_lost"]) == (1, 2, [])
    assert found["epochs"] == alone["epochs"] == 8
    assert found["validation_ppm"] >= 950_000
    assert abs(found["validation_ppm"] - alone["validation_ppm"]) <= 20_000
    assert bits_wrong(job) == 0


def test_group__uneven_batches__gives_one_devices_weights_up_to_rounding(job: TrainJob, tmp_path: Path) -> None:
    """The batches, their order and the plan are the same; gradients are averages over the whole batch."""
    job = replace(job, epochs=2)
    train(job)
    train(replace(job, work=tmp_path / "alone", device="cpu"))

    together, alone = (load_file(each / "model.safetensors") for each in (job.work, tmp_path / "alone"))
    for name, tensor in alone.items():
        np.testing.assert_allclose(together[name], tensor, atol=2e-3, err_msg=name)


def test_group__trained_twice__gives_the_same_bytes_and_keeps_its_keys(job: TrainJob, tmp_path: Path) -> None:
    """With as many ranks. No file in the work folder and no rank's arguments hold a key."""
    job = replace(job, deterministic=True)
    again = replace(job, work=tmp_path / "again")
    with started(job) as handle:
        wait_until(lambda: len(ranks_of(handle.pid)) == 2)
        arguments = [Path(f"/proc/{each}/cmdline").read_bytes() for each in ranks_of(handle.pid)]
        surroundings = [Path(f"/proc/{each}/environ").read_bytes() for each in ranks_of(handle.pid)]
        finish(handle, job)
    train(again)

    assert (job.work / "model.safetensors").read_bytes() == (again.work / "model.safetensors").read_bytes()
    written = [path.read_bytes() for path in job.work.rglob("*") if path.is_file()]
    for key in (job.init_key, *job.slot_keys):
        for data in (*arguments, *surroundings, *written):
            assert key not in data
            assert key.hex().encode() not in data
    assert not list(job.work.glob("ranks-*"))


@pytest.mark.parametrize(
    ("limits", "ended"), [({"budget": 20.0, "epochs": FOR_EVER}, "time"), ({"patience": 3, "epochs": 400}, "patience")]
)
def test_group__limited__ends_as_rank_0_decides(limits: dict[str, Any], ended: str, job: TrainJob) -> None:
    """Its clock and its validation are everybody's: nobody waits for a step that does not come."""
    found = train(replace(job, **limits))

    assert (found["ended"], found["ranks"], found["ranks_lost"]) == (ended, 2, [])
    assert found["epochs"] < limits["epochs"]
    assert bits_wrong(job) == 0


def test_group__search__tries_recipes_on_all_ranks(job: TrainJob) -> None:
    """The built-in search needs to know nothing of ranks."""
    found = train(replace(job, strategy="search", epochs=16))

    assert (found["ranks"], len(found["trials"]), found["ended"]) == (2, 14, "epochs")
    assert bits_wrong(job) == 0


# ------------------------------------------------------------------ kills


def test_group__killed_and_started_with_other_ranks__goes_on(job: TrainJob) -> None:
    """From two ranks to three, and to one: a checkpoint knows no ranks."""
    long = replace(job, epochs=FOR_EVER)
    last = 0
    for device in ("cpu+cpu", "cpu+cpu+cpu", "cpu"):
        with started(replace(long, device=device)) as handle:
            wait_until(lambda handle=handle, last=last: handle.poll().epoch > last + 1 and has_trained(long))
            assert handle.poll().state == "training"
            last = max(last, saved_epoch(long))
    found = train(replace(long, budget=25.0))

    assert found["resumed_after_epoch"] >= last > 0
    assert bits_wrong(job) == 0


def saved_epoch(job: TrainJob) -> int:
    from dlbc.adapters.ml.checkpoint import load_checkpoint

    state = load_checkpoint(job.work, job.architecture, fingerprint(public_part(job), secret_part(job)))
    return 0 if state is None else state.epoch


def test_group__a_rank_is_killed__starts_again_then_trains_alone(job: TrainJob) -> None:
    """Told in one sentence each; the model comes all the same."""
    long = replace(job, epochs=800)
    with started(long) as handle:
        for _ in range(2):
            wait_until(
                lambda: len(ranks_of(handle.pid)) == 2 and handle.poll().message.startswith("training on 2 ranks")
            )
            victims = ranks_of(handle.pid)
            os.kill(victims[1], signal.SIGKILL)
            wait_until(lambda victims=victims: not any(is_alive(each) for each in victims))
        found = finish(handle, long)

    assert found["ranks_lost"] == ["rank 1 of 2 (cpu) was ended by signal 9"] * 2
    assert (found["ranks"], found["ended"]) == (1, "epochs")
    assert bits_wrong(job) == 0


def test_group__parent_killed__leaves_no_rank_behind(job: TrainJob, tmp_path: Path) -> None:
    """SIGKILL of the miner ends the child, and that the ranks, wherever they are in a step."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from dlbc.adapters.ml import TorchTrainer\n"
        "from dlbc.core.architecture import Architecture\n"
        "from dlbc.ports import TrainJob\n"
        f"job = TrainJob(Path({str(job.work)!r}), Architecture('mlp', (200,), 2, (200,)),\n"
        f"    (Path({str(job.shards[0])!r}),), 10**6, 50, 1e-3, 'cpu+cpu', 0, bytes(32), (), ())\n"
        "handle = TorchTrainer().start(job)\n"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(handle.pid))\n"
        "while True: time.sleep(1)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)])
    try:
        wait_until(lambda: has_trained(job))
        child = int((tmp_path / "pid").read_text())
        family = [child, *ranks_of(child)]
        assert len(family) == 3
    finally:
        parent.kill()
        parent.wait()

    wait_until(lambda: not any(is_alive(each) for each in family))


# ------------------------------------------------------------------ faults


def test_group__memory_runs_out_on_one_rank__all_learn_smaller_pieces(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """27, 14 and 7 samples are too many for the second rank, 4 are not; the model is that of whole batches."""
    job = replace(job, epochs=2)
    expected = (
        attempt(replace(job, work=job.work.with_name("whole"))),
        load_file(job.work.with_name("whole") / "model.safetensors"),
    )
    monkeypatch.setattr(rank, "main", ranks.small_memory)

    found = attempt(job)

    assert (found["ranks"], found["ranks_lost"]) == (2, [])
    progress = json.loads((job.work / "progress.json").read_bytes())
    assert progress["epoch"] == 2
    assert abs(found["validation_ppm"] - expected[0]["validation_ppm"]) <= 60_000
    for name, tensor in load_file(job.work / "model.safetensors").items():
        np.testing.assert_allclose(expected[1][name], tensor, atol=2e-3, err_msg=name)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (ranks.broken, "rank 1 of 2 (cpu) failed: ValueError: expected a fault, found one"),
        (ranks.silent, "rank 1 of 2 (cpu) ended with code 3"),
    ],
    ids=["a bug", "a silent end"],
)
def test_group__a_rank_fails__says_which_and_why_and_trains_alone(
    fault: Callable[[Assignment], None], sentence: str, job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cause is told, and not what the others met because of it."""
    monkeypatch.setattr(rank, "main", fault)

    found = attempt(replace(job, epochs=2))

    assert (found["ranks"], found["ranks_lost"]) == (1, [sentence] * 2)


def test_group__the_loss_explodes__is_refused_at_once(job: TrainJob) -> None:
    """What every attempt would meet is not tried again."""
    with started(replace(job, learning_rate=1e30)) as handle:
        wait_until(lambda: handle.poll().state in ("done", "failed"))

        with pytest.raises(Refused, match=r"the loss is .* lower the learning rate"):
            handle.result()
    assert "goes on from the last checkpoint" not in (job.work / "child.log").read_text()
