"""The auditor on a market in memory: honest work passes, every kind of lie fails the check that is there for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disputed import opened_lie
from dlbc.adapters.ml.weights import save_model
from dlbc.adapters.weight_file import read_weights
from dlbc.core.architecture import architecture_from_json
from dlbc.core.copying import Standing
from dlbc.core.errors import NotFound, Refused, StorageUnreachable, VerificationFailed
from dlbc.core.grounds import grounds_of
from dlbc.core.types import Ground, Phase, TaskId
from dlbc.ports import TrainHandle, TrainJob
from dlbc.roles import entry_scoring, entry_training
from dlbc.roles.auditor import Auditor, AuditReport
from dlbc.roles.copies import CopySearch
from dlbc.roles.detecting import Detector
from fakes.chain import FakeChain
from fakes.keys import account
from fakes.storage import MemoryStorage
from fakes.trainer import FakeHandle, FakeTrainer
from fakes.world import World

pytestmark = pytest.mark.unit


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


@pytest.fixture
def settled(world: World) -> TaskId:
    """One task, won by an honest miner against a weaker one."""
    task_id = world.post()
    world.play(task_id, world.miner("miner"), world.miner("weaker", noise=20.0))
    return task_id


def failing(report: AuditReport) -> set[str]:
    """Names of the checks that fail."""
    return {check.name for check in report.checks if not check.ok}


def test_audit__honest_settled_task__passes_every_named_check(world: World, settled: TaskId) -> None:
    """All that the issue lists is checked, and holds."""
    report = world.auditor().audit(settled)
    assert failing(report) == set()
    assert report.passed
    assert {
        "ledger block hash",
        "ledger links",
        "winning record (contract)",
        "signature (contract)",
        "signature (off chain)",
        "commitment opens",
        "sealed bytes",
        "unsealing",
        "sha256 of the weights",
        "architecture and limits",
        "score recomputed",
        "labels root",
        "predictions root",
        "watermark slot 0",
        "difficulty",
        "best qualifying claim",
    } <= {check.name for check in report.checks}


def test_audit__miner_is_a_contract__its_word_counts(
    world: World, settled: TaskId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key has signed: what the contract confirms holds (ERC-1271), what it denies does not."""
    claims = world.market.revealed[settled, 0]
    claims[:] = [replace(event, signature=b"only its contract accepts this") for event in claims]
    monkeypatch.setattr(FakeChain, "verify_proof", lambda *_: True)
    assert failing(world.auditor().audit(settled)) == set()
    monkeypatch.setattr(FakeChain, "verify_proof", lambda *_: False)
    assert failing(world.auditor().audit(settled)) == {"signature (contract)", "signature (off chain)"}


def test_audit__opened_but_not_settled__audits_the_leader(world: World) -> None:
    """Before money moves the opened leader is audited, without the ledger checks."""
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.onlooker.phase(task_id).phase is Phase.CHALLENGE)
    report = world.auditor().audit(task_id)
    assert report.passed
    assert not report.is_settled


def test_audit__nothing_opened_yet__refused_with_the_phase(world: World) -> None:
    """There is nothing to audit before a leader opens."""
    with pytest.raises(Refused, match="task 1 is in Training: there is nothing to audit"):
        world.auditor().audit(world.post())


def test_audit__round_that_does_not_exist__not_found(world: World, settled: TaskId) -> None:
    """A round beyond the task's is refused by number."""
    with pytest.raises(NotFound, match="there is no round 3"):
        world.auditor().audit(settled, 3)


def test_audit__ipfs_down__is_no_finding(world: World, settled: TaskId) -> None:
    """A node of our own that is down says nothing about the claim: try again later."""
    storage = MemoryStorage(world.network)
    storage.is_down = True
    whole = world.auditor()
    auditor = Auditor(whole.chain, storage, whole.trainer, whole.recover_signer)
    with pytest.raises(StorageUnreachable):
        auditor.audit(settled)


def sealed_model(world: World, task_id: TaskId) -> Any:
    """Locator of the winner's part list."""
    (claim,) = [event for event in world.onlooker.reveals(task_id, 0) if event.proof.miner == account("miner").address]
    return claim.proof.sealed_model


def test_audit__sealed_model_lost__fails_by_name(world: World, settled: TaskId) -> None:
    """A model nobody serves does not stand."""
    del world.network[sealed_model(world, settled)]
    assert {"sealed bytes"} <= failing(world.auditor().audit(settled))


def test_audit__sealed_model_replaced__fails_by_name(world: World, settled: TaskId) -> None:
    """Bytes that do not hash to their CID are not believed."""
    world.network[sealed_model(world, settled)] = b"something else"
    assert {"sealed bytes"} <= failing(world.auditor().audit(settled))


def test_audit__tampered_model_file__fails_its_digest(world: World, settled: TaskId, tmp_path: Path) -> None:
    """One changed bit in a weight is caught, though the model still loads, scores and carries the mark."""
    file = tmp_path / "pulled.safetensors"
    models = world.models()
    models.pull(models.settled(settled), file)
    data = bytearray(file.read_bytes())
    data[-4] ^= 1
    file.write_bytes(bytes(data))
    assert failing(world.auditor().audit(settled, model_file=file)) == {"sha256 of the weights"}


def test_audit__another_model_file__fails_score_and_watermark_too(
    world: World, settled: TaskId, tmp_path: Path
) -> None:
    """A file of the right shape that is somebody else's work fails wherever it differs."""
    file = tmp_path / "random.safetensors"
    from dlbc.adapters.ml.weights import save_model

    chance = np.random.default_rng(7)
    weights = {
        "linears.0.weight": chance.normal(size=(10, 3300)).astype(np.float32),
        "linears.0.bias": np.zeros(10, np.float32),
    }
    save_model(weights, file)
    assert {"sha256 of the weights", "score recomputed", "decisive samples", "watermark slot 0"} == failing(
        world.auditor().audit(settled, model_file=file)
    )


def test_audit__claimed_score_not_the_model_s__fails_the_recomputed_score(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A miner that publishes the labels as its predictions wins the reveal and fails the audit."""

    class Liar(FakeTrainer):
        def predict(self, weights: Any, architecture: Any, x: Any, device: str = "cpu") -> Any:
            honest = super().predict(weights, architecture, x, device)
            return np.arange(len(honest)) % 10  # the labels of FakeData

    task_id = world.post()
    miner = world.miner(trainer=Liar(noise=20.0))
    world.play(task_id, miner, until=lambda: world.onlooker.phase(task_id).phase is Phase.CHALLENGE)
    assert failing(world.auditor().audit(task_id)) == {"score recomputed", "decisive samples"}


def test_audit__scores_do_not_follow_from_predictions__fails_by_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A miner that gives itself points for wrong predictions is caught from the published file alone."""
    monkeypatch.setattr(entry_scoring, "top1_scores", lambda predictions, labels: np.ones(len(labels), np.int64))
    task_id = world.post()
    world.play(task_id, world.miner(noise=20.0), until=lambda: world.onlooker.phase(task_id).phase is Phase.CHALLENGE)
    assert failing(world.auditor().audit(task_id)) == {"published scores"}


def test_audit__model_marked_for_somebody_else__fails_the_watermark(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stolen model does not carry the thief's payload."""

    class Thief(FakeTrainer):
        def start(self, job: TrainJob) -> TrainHandle:
            stolen = tuple(bytes(32) for _ in job.payloads)
            return FakeHandle(self, replace(job, payloads=stolen))

    detect = entry_training.watermark.detect
    task_id = world.post()
    miner = world.miner(trainer=Thief())

    def always(weights: Any, key: bytes, slot: int, payload: bytes) -> Any:
        return detect(weights, key, slot, bytes(32))

    with monkeypatch.context() as patched:
        patched.setattr(entry_training.watermark, "detect", always)  # the thief does not check itself
        world.play(task_id, miner, until=lambda: world.onlooker.phase(task_id).phase is Phase.CHALLENGE)
    assert failing(world.auditor().audit(task_id)) == {"watermark slot 0"}


def test_audit__somebody_else_s_model_marked_over__is_a_copy(world: World, settled: TaskId, tmp_path: Path) -> None:
    """A thief that embeds its own mark into a settled model leaves the first one's mark in it (P-53)."""
    stolen, models = tmp_path / "stolen.safetensors", world.models()
    model = models.settled(settled)
    models.pull(model, stolen)

    class Copier(FakeTrainer):
        def start(self, job: TrainJob) -> TrainHandle:
            loaded = self.check_model(stolen, job.architecture, max_bytes=2**20)
            weights = {name: np.array(values) for name, values in loaded.items()}
            for slot, (key, payload) in enumerate(zip(job.slot_keys, job.payloads, strict=True)):
                entry_training.watermark.embed(weights, key, slot, payload)
            job.work.mkdir(parents=True, exist_ok=True)
            save_model(weights, job.work / "model.safetensors")
            return Copied(self, job)

    class Copied(FakeHandle):
        def _train(self) -> None:
            """There is nothing to train."""

    requester = world.requester()
    requester.forget(requester.prepare(world.task_file, world.folder))
    second = requester.post(requester.prepare(world.task_file, world.folder))[0]
    thief = world.miner("thief", trainer=Copier())
    world.play(second, thief, until=lambda: world.onlooker.phase(second).phase is Phase.CHALLENGE)
    report = world.auditor().audit(second)
    assert failing(report) == {"no other miner's mark"}
    assert grounds_of(report.checks) == Ground.COPIED


def test_audit__strike_missing_in_the_log_or_of_this_miner__fails_by_name(world: World, settled: TaskId) -> None:
    """The number of strikes on chain, the log and the entries have to tell the same."""
    round_ = world.market.rounds[settled, 0]
    world.market.rounds[settled, 0] = replace(round_, strikes=1)
    assert {"strikes"} == failing(world.auditor().audit(settled))


def test_audit__winner_after_a_strike__passes_and_says_so(tmp_path: Path) -> None:
    """A runner-up need not be the best claim any more, only the best nominated one."""
    world, task_id = opened_lie(tmp_path)
    world.refuter("asker").demand(task_id, 0)
    world.play(task_id, world.miner("honest", noise=5.0))
    report = world.auditor().audit(task_id)
    assert (report.passed, report.miner) == (True, account("honest").address)
    assert "1 struck" in next(check.expected for check in report.checks if check.name == "strikes")


def test_audit__ledger_rewritten__fails_hash_and_links(world: World, settled: TaskId) -> None:
    """A node that shows another header than the stored one is caught."""
    world.market.blocks[0] = replace(world.market.blocks[0], previous_hash=world.market.blocks[0].model_hash)
    assert {"ledger links"} <= failing(world.auditor().audit(settled))


def test_audit__payout_in_the_log_not_the_rules__fails_by_name(world: World, settled: TaskId) -> None:
    """What the log says was paid is recomputed."""
    event = world.market.settled[settled][0]
    world.market.settled[settled] = [replace(event, paid_wei=event.paid_wei + 1)]
    assert failing(world.auditor().audit(settled)) == {"payout, fee, royalty (wei)"}


def test_audit__difficulty_misstated__fails_by_name(world: World, settled: TaskId) -> None:
    """No queue length gives a made-up difficulty."""
    world.market.posted[settled] = replace(world.market.posted[settled], difficulty=123)
    assert {"difficulty"} <= failing(world.auditor().audit(settled))


def test_pull__bytes_not_the_recorded_model__writes_nothing(world: World, settled: TaskId, tmp_path: Path) -> None:
    """A model that fails its digest is never written, and no half file stays behind."""
    output = tmp_path / "out" / "model.safetensors"
    models = world.models()
    model = models.settled(settled)
    forged = replace(
        model, claim=replace(model.claim, proof=replace(model.claim.proof, model_hash=model.manifest.shards[0].sha256))
    )
    with pytest.raises(VerificationFailed, match="model: expected sha256"):
        models.pull(forged, output)
    assert list(output.parent.iterdir()) == []


def test_pull__settled_task__writes_the_recorded_model_and_verifies_it(
    world: World, settled: TaskId, tmp_path: Path
) -> None:
    """The pulled file passes `model verify`, and carries exactly its own mark."""
    models, output = world.models(), tmp_path / "model.safetensors"
    model = models.settled(settled)
    models.pull(model, output)
    assert models.verify_file(model, output).passed
    found = Detector(CopySearch(world.onlooker, models), read_weights).detect(output)
    assert [(mark.reading.slot.task_id, mark.standing) for mark in found.look.found] == [(settled, Standing.ITSELF)]


def test_pull__settled_task__writes_the_architecture_that_the_weights_fill(
    world: World, settled: TaskId, tmp_path: Path
) -> None:
    """Whoever has the two files can use the model; a file of somebody else's under that name is left alone."""
    models, output = world.models(), tmp_path / "model.safetensors"
    model = models.settled(settled)
    models.pull(model, output)
    models.pull(model, output)
    written = architecture_from_json(json.loads((tmp_path / "model.json").read_bytes()))
    assert model.manifest.architecture == written
    (tmp_path / "package.json").write_text("{}")
    with pytest.raises(Refused, match="is no architecture"):
        models.pull(model, tmp_path / "package.safetensors")
    assert (tmp_path / "package.json").read_text() == "{}"
    assert not (tmp_path / "package.safetensors").exists()


def test_models__task_without_a_winner__says_that_there_will_be_no_model(world: World) -> None:
    """A "yet" would be a promise that a cancelled task does not keep."""
    task_id = world.post()
    world.requester().cancel(task_id)
    with pytest.raises(NotFound, match="is Cancelled: round 0 has no winner"):
        world.models().settled(task_id)


def test_models__not_settled_or_unknown__refused(world: World) -> None:
    """Before the settlement there is no model to fetch, and an unknown digest is not found."""
    task_id = world.post()
    with pytest.raises(Refused, match="has no settled model to fetch yet"):
        world.models().settled(task_id)
    with pytest.raises(NotFound, match="the ledger has no model"):
        world.models().by_hash(world.onlooker.task(task_id).terms_hash)


def test_audit__manifest_without_a_test_set_for_the_round__fails_by_name(world: World, settled: TaskId) -> None:
    """A requester may post more rounds than its manifest has test sets for: a finding, not a crash."""
    posted = world.market.posted[settled]
    world.market.posted[settled] = replace(posted, test_commitments=posted.test_commitments * 2)
    world.market.tasks[settled] = replace(world.market.tasks[settled], rounds=2)
    for facts in (world.market.rounds, world.market.winners, world.market.revealed, world.market.opened):
        facts[settled, 1] = facts[settled, 0]  # type: ignore[index]
    assert {"manifest"} <= failing(world.auditor().audit(settled, 1))


@pytest.mark.parametrize("lie", [{"samples": 2**30}, {"metric": 7}, {"max_sample_score": 1000}, {"classes": 3}])
def test_audit__test_set_not_as_listed__fails_before_the_download(
    world: World, settled: TaskId, lie: dict[str, int]
) -> None:
    """Another number of samples, another metric: nothing is fetched under a bound that was meant for something else."""
    event = world.market.released[settled, 0]
    world.market.released[settled, 0] = replace(event, test_set=replace(event.test_set, **lie))  # type: ignore[arg-type]
    report = world.auditor().audit(settled)
    assert {"test set preimage", "test set as listed", "score"} == failing(report)
    assert "test set bytes" not in {check.name for check in report.checks}
