"""The training child: told its keys in private, polled, killed, resumed, and never an orphan."""

from __future__ import annotations

import errno
import fcntl
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dlbc.adapters.ml import TorchTrainer
from dlbc.adapters.ml.shards import encode_dataset
from dlbc.adapters.ml.trainer import ChildHandle
from dlbc.core import watermark
from dlbc.core.architecture import Architecture
from dlbc.core.errors import BadInput, Refused
from dlbc.ports import Dataset, Trainer, TrainHandle, TrainJob
from fakes.shards import write_shards

pytestmark = pytest.mark.unit

DEADLINE = 120.0
ARCHITECTURE = Architecture("mlp", (200,), 2, (200,))


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for a condition, at most DEADLINE seconds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainJob:
    monkeypatch.setenv("DLBC_TORCH_THREADS", "1")
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 400)
    x = random.standard_normal((400, 200), dtype=np.float32) + y[:, None].astype(np.float32)
    return TrainJob(
        work=tmp_path / "work",
        architecture=ARCHITECTURE,
        shards=write_shards(Dataset(x, y), tmp_path / "data"),
        epochs=3,
        batch=50,
        learning_rate=1e-3,
        device="cpu",
        seed=0,
        init_key=b"\x0a\x1b" * 16,
        slot_keys=(b"\x0c\x2d" * 16, b"\x0e\x3f" * 16),
        payloads=(b"\x04" * 32, b"\x05" * 32),
    )


@contextmanager
def started(job: TrainJob) -> Iterator[TrainHandle]:
    handle = TorchTrainer().start(job)
    try:
        yield handle
    finally:
        handle.kill()


def finish(handle: TrainHandle) -> None:
    wait_until(lambda: handle.poll().state in ("done", "failed"))


def test_start__a_stranger_left_code_in_the_current_folder__it_is_not_run(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon may be started in /tmp; whoever can write there must not run code beside its keys."""
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "numpy.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w').close()\nraise SystemExit(1)\n")
    monkeypatch.chdir(folder)
    with started(job) as handle:
        finish(handle)
        assert handle.poll().state == "done", handle.poll().message
    assert not (tmp_path / "run").exists()


def test_start__a_small_job__gives_a_marked_model_and_leaves_no_key_behind(job: TrainJob) -> None:
    """The result is checked and marked; no key is in any file of the work folder or in the child's arguments."""
    trainer: Trainer = TorchTrainer()
    with started(job) as handle:
        assert isinstance(handle, ChildHandle)
        arguments = Path(f"/proc/{handle.pid}/cmdline").read_bytes()
        finish(handle)
        progress, result = handle.poll(), handle.result()

    assert (progress.state, progress.epoch, progress.epochs) == ("done", 3, 3)
    assert progress.message.startswith("trained on cpu in ")
    assert result.validation_ppm == progress.validation_ppm > 750_000
    weights = trainer.check_model(result.model, ARCHITECTURE, max_bytes=result.model_bytes)
    for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True)):
        assert watermark.detect(weights, key, slot, payload).is_detected
    written = [arguments, *(path.read_bytes() for path in job.work.iterdir())]
    for key in (job.init_key, *job.slot_keys):
        assert not any(key in data or key.hex().encode() in data for data in written)


def test_start__killed_and_started_again__resumes_and_then_does_nothing(job: TrainJob) -> None:
    """SIGKILL is survived from the last epoch on; a finished folder is answered without training."""
    long = replace(job, epochs=100)
    with started(long) as handle:
        wait_until(lambda: (job.work / "checkpoint.safetensors").exists() or handle.poll().state == "failed")
        with pytest.raises(Refused, match=r"expected it to be done, it is (starting|training)"):
            handle.result()
    assert handle.poll().state == "failed"
    assert "was ended by signal 9; start it again to resume" in handle.poll().message

    with started(long) as again:
        finish(again)
        first = again.result()
    assert '"resumed_after_epoch": 0' not in (job.work / "result.json").read_text()

    before = first.model.stat().st_mtime_ns
    with started(long) as idle:
        finish(idle)
        assert idle.result() == first
    assert first.model.stat().st_mtime_ns == before


def test_start__data_that_is_none__fails_with_the_reason(job: TrainJob) -> None:
    """The child's last words reach the parent as one sentence."""
    job.shards[0].write_bytes(b"not data")
    with started(job) as handle:
        finish(handle)

        assert "expected a safetensors file, found 8 bytes" in handle.poll().message
        with pytest.raises(Refused, match="it is failed: data file: expected a safetensors file"):
            handle.result()


def test_start__no_room_for_a_checkpoint__says_so_and_goes_on_when_there_is(job: TrainJob) -> None:
    """A full disk is the machine's fault: neither the training nor its folder is lost."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with started(job) as handle, pytest.raises(OSError, match="no room to write in") as caught:
            finish(handle)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.ENOSPC
    assert not list(job.work.glob(".*.draft"))
    with started(job) as handle:
        finish(handle)
        assert handle.poll().state == "done", handle.poll().message


def test_child__parent_killed__ends_too(job: TrainJob, tmp_path: Path) -> None:
    """A miner killed with SIGKILL leaves no training behind that would fight with its successor's."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from dlbc.adapters.ml import TorchTrainer\n"
        "from dlbc.core.architecture import Architecture\n"
        "from dlbc.ports import TrainJob\n"
        f"job = TrainJob(Path({str(job.work)!r}), Architecture('mlp', (200,), 2, (200,)),\n"
        f"    (Path({str(job.shards[0])!r}),), 10**6, 50, 1e-3, 'cpu', 0, bytes(32), (), ())\n"
        "handle = TorchTrainer().start(job)\n"
        "while True: time.sleep(1)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)])
    try:
        wait_until(lambda: (job.work / "checkpoint.safetensors").exists())
    finally:
        parent.kill()
        parent.wait()

    with (job.work / "lock").open() as lock:

        def is_free() -> bool:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_until(is_free)


def test_trainer__datasets_and_predictions__go_through_the_port(job: TrainJob) -> None:
    """load_dataset, parse_dataset and predict are those of the modules beside."""
    trainer: Trainer = TorchTrainer()
    data = trainer.load_dataset(job.shards, input_shape=(200,), classes=2)
    again = trainer.parse_dataset(encode_dataset(data), input_shape=(200,), classes=2)
    zeros = {"linears.0.weight": np.zeros((2, 200), np.float32), "linears.0.bias": np.array([0, 1], np.float32)}

    np.testing.assert_array_equal(data.x, again.x)
    assert trainer.predict(zeros, Architecture("mlp", (200,), 2, ()), data.x).tolist() == [1] * 400
    with pytest.raises(BadInput, match="expected labels from 0 to 0"):
        trainer.load_dataset(job.shards, input_shape=(200,), classes=1)
