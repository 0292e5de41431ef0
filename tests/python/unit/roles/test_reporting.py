"""The audit report on a market in memory: what it says of honest work and of every kind of lie."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disputed import opened_lie
from dlbc.adapters.ml.weights import save_model
from dlbc.adapters.report import render
from dlbc.core.audit_document import AuditDocument
from dlbc.core.errors import NotFound, NotYet, Refused
from dlbc.core.task_file import TaskFile
from dlbc.core.types import Phase, TaskId
from dlbc.ports import Dataset
from dlbc.roles.auditor import Auditor
from dlbc.roles.reporting import Reporter
from fakes.copied import CopyWorld, as_it_is
from fakes.keys import account
from fakes.page import check_self_contained
from fakes.trainer import FakeData
from fakes.world import World

pytestmark = pytest.mark.unit

HOSTILE = '<script>alert("1")</script>&lt;b&gt;{{ 7*7 }}'


class Images(FakeData):
    """The same clusters, as pictures."""

    def load(self, source: str, folder: Path, seed: int) -> tuple[Dataset, Dataset]:
        return tuple(Dataset(part.x.reshape(-1, 1, 55, 60), part.y) for part in super().load(source, folder, seed))  # type: ignore[return-value]


class NamedWorld(World):
    """Its tasks have a name that our client would refuse, but a manifest may have."""

    @property
    def task_file(self) -> TaskFile:
        return replace(super().task_file, name=HOSTILE)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet; samples are pictures, and the task's name is hostile."""
    return NamedWorld(tmp_path / "world", data=Images())


@pytest.fixture
def settled(world: World) -> TaskId:
    """One task, won by an honest miner against a weaker one."""
    world.folder.mkdir(exist_ok=True)
    task_id = world.post()
    world.play(task_id, world.miner("miner", noise=17.0), world.miner("weaker", noise=25.0))
    return task_id


def reporter(auditor: Auditor) -> Reporter:
    """With the real page."""
    return Reporter(auditor, render, "dlbc test")


def document(world: World, task_id: TaskId, model_file: Path | None = None) -> AuditDocument:
    """What is written down."""
    auditor = world.auditor()
    return reporter(auditor).document(auditor.audit(task_id, model_file=model_file), model_file)


def page(written: AuditDocument) -> str:
    """The page, checked to be one that needs nothing else."""
    text = render(written)[".html"].decode()
    check_self_contained(text)
    return text


def words(written: AuditDocument) -> str:
    """What a reader sees."""
    return check_self_contained(page(written)).text


def test_report__settled_task__two_whole_files_with_every_section(
    world: World, settled: TaskId, tmp_path: Path
) -> None:
    """One page that needs nothing else, and JSON with the same facts."""
    out = tmp_path / "deep" / "out"
    report, files = reporter(world.auditor()).report(settled, None, out)
    assert report.passed
    assert sorted(path.name for path in out.iterdir()) == ["task-1-round-0.html", "task-1-round-0.json"]
    assert sorted(files) == sorted(out.iterdir())
    shown = check_self_contained((out / "task-1-round-0.html").read_text())
    assert {"checks", "timeline", "money", "score", "samples", "watermark", "lineage", "task", "repeat"} <= set(
        shown.values("id")
    )
    assert f"PASS: all {len(report.checks)} checks hold" in shown.text
    for check in report.checks:
        assert check.name in shown.text
    told = json.loads((out / "task-1-round-0.json").read_bytes())
    assert (told["schema"], told["isPassed"], told["taskId"]) == ("dlbc-audit-report/1", True, settled)
    assert len(told["checks"]) == len(report.checks)


def test_report__hostile_task_name__is_text(world: World, settled: TaskId) -> None:
    """Neither the browser nor the template takes it for anything else."""
    written = document(world, settled)
    assert written.name == HOSTILE
    assert "<script" not in page(written)
    assert HOSTILE in words(written)


def test_report__money__every_wei_and_sums_that_agree(world: World, settled: TaskId) -> None:
    """Bounty, bond and deposits in; prize, fee, bond and deposits out; nothing left."""
    written = document(world, settled)
    money, split, ether = written.money, written.split, 10**18
    assert (money.in_wei, money.out_wei, money.held_wei, money.due_wei) == (13 * ether // 10, 13 * ether // 10, 0, 0)
    assert money.agrees
    assert (split.prize_wei, split.fee_wei, split.royalty_wei) == (98 * ether // 100, 2 * ether // 100, 0)
    assert split.bounty_wei == (split.paid_prize_wei or 0) + (split.paid_fee_wei or 0) + (split.paid_royalty_wei or 0)
    text = words(written)
    for transfer in money.market:
        assert str(transfer.wei) in text
        assert "0x" + transfer.tx_hash.hex() in text
    assert "Every wei has one place" in text


def test_report__timeline__has_times_and_transactions(world: World, settled: TaskId) -> None:
    """Phases as the chain's clock had them."""
    written = document(world, settled)
    phases = [step.phase for step in written.timeline if step.phase]
    assert phases == ["Training", "Releasing", "Revealing", "Opening", "Challenge", "Settled"]
    assert all((step.tx_hash is None) == (step.block_number is None) for step in written.timeline)
    text = words(written)
    assert "2027-01-15 08:00:00" in text


def test_report__score__by_class_with_matrix_and_pictures(world: World, settled: TaskId) -> None:
    """The table is the model's own score, and mistakes are shown."""
    written = document(world, settled)
    table = written.score.table
    assert table is not None
    assert written.score.is_recomputed
    assert (table.right, table.samples, len(table.rows)) == (written.score.claimed_total, 40, 10)
    assert 0 < table.right < 40
    assert sum(map(sum, table.matrix)) == 40
    assert all(sample.picture is not None and sample.picture.shape == (55, 60) for sample in written.samples)
    assert any(sample.found != sample.label for sample in written.samples)
    assert page(written).count("data:image/png;base64,") == len(written.samples) == 24


def test_report__watermark__strength_against_its_bound(world: World, settled: TaskId) -> None:
    """Slot 0, exact; the other slot is the miner's secret."""
    (slot,) = document(world, settled).marks.slots
    assert slot.is_detected
    assert slot.strength > slot.threshold == 13.32
    assert slot.log2_false_positive < -128
    assert "1 of 2 slots is still the miner's secret" in words(document(world, settled))


def test_report__repeat__commands_name_task_round_and_hash(world: World, settled: TaskId) -> None:
    """What is printed can be typed; no endpoint of the auditor is told."""
    written = document(world, settled)
    commands = [command.command for command in written.commands]
    assert "dlbc audit 1 --round 0 --report out/" in commands
    assert any(written.model_hash.hex() in command.what for command in written.commands)
    assert all("127.0.0.1" not in command for command in commands)


def test_report__findings__are_small_whatever_was_audited(world: World, settled: TaskId) -> None:
    """Thumbnails and tables: a daemon may keep them, and the data is let go."""
    findings = world.auditor().audit(settled).findings
    assert len(findings.samples) == 24
    assert len(pickle.dumps(findings)) < 200_000
    assert all(sample.picture is not None and sample.picture.nbytes == 55 * 60 for sample in findings.samples)


def test_report__flat_samples__are_told_without_pictures(tmp_path: Path) -> None:
    """3,300 numbers are no image."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner())
    written = document(world, task_id)
    assert written.samples
    assert all(sample.picture is None for sample in written.samples)
    assert "data:image" not in page(written)


def test_report__over_claimed_score__fails_and_shows_the_contradictions(tmp_path: Path) -> None:
    """The table is the model's, not the claim's; the samples that prove it come first."""
    world, task_id = opened_lie(tmp_path)
    written = document(world, task_id)
    assert not written.is_passed
    assert written.grounds == ("score", "samples")
    table = written.score.table
    assert table is not None
    assert table.right < written.score.claimed_total == 40
    assert written.score.mismatches == 40 - table.right
    assert written.samples[0].is_decisive
    text = words(written)
    assert "FAIL: 2 of" in text
    assert "contradicts the claim" in text
    assert "Grounds for a dispute, while the challenge lasts: score, samples." in text
    assert "dlbc auditor dispute 1" in text


def test_report__copied_model__names_whose_mark_it_is(tmp_path: Path) -> None:
    """The strongest reading is the owner's, and means copy."""
    world = CopyWorld(tmp_path)
    first = world.won()
    second = world.opened_copy(first, change=as_it_is)
    written = document(world, second)
    assert written.grounds == ("copied",)
    mark = written.marks.others[0]
    assert (mark.task_id, mark.miner, mark.means) == (first, account("owner").address, "copy")
    assert mark.strength >= mark.threshold
    assert account("owner").address in words(written)


def test_report__declared_parents__are_the_lineage_and_paid(tmp_path: Path) -> None:
    """The whole line, and the royalty of the nearest."""
    world = CopyWorld(tmp_path)
    first = world.won()
    second = world.taken(first, name="heir", change=as_it_is, parent=first)
    third = world.taken(second, name="other", change=as_it_is, parent=second)
    written = document(world, third)
    assert [ancestor.task_id for ancestor in written.lineage] == [second, first]
    assert [ancestor.miner for ancestor in written.lineage] == [account("heir").address, account("owner").address]
    assert written.split.royalty_wei == written.split.paid_royalty_wei > 0
    assert [transfer.wei for transfer in written.money.market if transfer.what == "royalty"] == [
        written.split.royalty_wei
    ]
    assert written.money.agrees


def test_report__other_file__shows_that_the_mark_is_not_in_it(world: World, settled: TaskId, tmp_path: Path) -> None:
    """A mark that is not detected is told with its S."""
    file, chance = tmp_path / "random.safetensors", np.random.default_rng(7)
    weights = {
        "linears.0.weight": chance.normal(size=(10, 3300)).astype(np.float32),
        "linears.0.bias": np.zeros(10, np.float32),
    }
    save_model(weights, file)
    written = document(world, settled, file)
    (slot,) = written.marks.slots
    assert not slot.is_detected
    assert slot.strength < slot.threshold
    assert "✗ not detected" in words(written)
    assert "dlbc audit 1 --round 0 --model FILE --report out/" in [command.command for command in written.commands]


def test_report__published_slot__is_read_too(tmp_path: Path) -> None:
    """As evidence against a thief, the owner published one more."""
    world = CopyWorld(tmp_path)
    first = world.won()
    world.publish(first)
    written = document(world, first)
    assert [(slot.slot, slot.published, slot.is_detected) for slot in written.marks.slots] == [
        (0, "by the opening", True),
        (1, "as evidence", True),
    ]
    assert "still the miner's secret" not in words(written)


def test_report__model_nobody_serves__says_so_and_shows_the_published_score(world: World, settled: TaskId) -> None:
    """A report with what there is, rather than none."""
    (claim,) = [event for event in world.onlooker.reveals(settled, 0) if event.proof.miner == account("miner").address]
    del world.network[claim.proof.sealed_model]
    written = document(world, settled)
    assert not written.is_passed
    assert written.score.table is not None
    assert not written.score.is_recomputed
    assert all(sample.found is None for sample in written.samples)
    text = words(written)
    assert "no verified weights could be had" in text
    assert "Not read: there are no verified weights" in text
    assert "Every wei has one place" in text


def test_report__test_set_nobody_serves__says_so(world: World, settled: TaskId) -> None:
    """No score, no samples; money, timeline and watermark all the same."""
    released = world.onlooker.released(settled, 0)
    assert released is not None
    del world.network[released.test_set.sealed_locator]
    written = document(world, settled)
    assert (written.score.table, written.samples) == (None, ())
    assert written.marks.slots[0].is_detected
    assert "No score by class" in words(written)


def test_report__manifest_nobody_serves__has_no_name_and_no_model(world: World, settled: TaskId) -> None:
    """Nothing can be checked without it but the ledger, and that is told."""
    del world.network[world.onlooker.task_posted(settled).terms.manifest]
    written = document(world, settled)
    assert written.name == ""
    assert not written.is_passed
    assert "manifest bytes" in words(written)


def test_report__winner_after_a_strike__tells_the_strike(tmp_path: Path) -> None:
    """With the deposit that the struck claim lost."""
    world, task_id = opened_lie(tmp_path)
    world.refuter("asker").demand(task_id, 0)
    world.play(task_id, world.miner("honest", noise=5.0))
    written = document(world, task_id)
    assert written.is_passed
    assert "Nominating" in [step.phase for step in written.timeline]
    assert "struck deposit" in [transfer.what for transfer in written.money.market]
    assert "bond of a demand" in [transfer.what for transfer in written.money.pool]
    assert written.money.agrees


def test_report__nothing_opened_yet__is_refused_and_writes_nothing(world: World, tmp_path: Path) -> None:
    """One sentence with the phase; no half of a report."""
    world.folder.mkdir()
    task_id, out = world.post(), tmp_path / "out"
    with pytest.raises(NotYet, match="nothing to audit before its leader opens"):
        reporter(world.auditor()).report(task_id, None, out)
    assert list(out.iterdir()) == []


def test_report__no_such_task__is_refused(world: World, tmp_path: Path) -> None:
    """As every command says it."""
    with pytest.raises(NotFound, match="there is no task 9"):
        reporter(world.auditor()).report(TaskId(9), None, tmp_path / "out")


def test_report__folder_that_can_t_be_made__is_refused_before_the_audit(world: World, tmp_path: Path) -> None:
    """Nobody waits for an audit whose report has no place."""
    (tmp_path / "file").write_text("")

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is audited")

    auditor = replace(world.auditor(), trainer=type("Fails", (), {"check_model": fail})())
    with pytest.raises(Refused, match=r"the report can't be written to .*: Not a directory; name another folder"):
        reporter(auditor).report(TaskId(1), None, tmp_path / "file" / "out")


def test_report__name_that_is_taken_by_a_folder__is_refused_and_leaves_no_part(
    world: World, settled: TaskId, tmp_path: Path
) -> None:
    """What can't be written at the end is told as clearly."""
    (tmp_path / "out" / "task-1-round-0.html").mkdir(parents=True)
    with pytest.raises(Refused, match="the report can't be written to"):
        reporter(world.auditor()).report(settled, None, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix == ".partial"]


def test_report__second_time__replaces_the_files_with_the_same(world: World, settled: TaskId, tmp_path: Path) -> None:
    """Two auditors of one chain write the same bytes."""
    _, files = reporter(world.auditor()).report(settled, None, tmp_path)
    first = [file.read_bytes() for file in files]
    reporter(world.auditor()).report(settled, None, tmp_path)
    assert first == [file.read_bytes() for file in files]


def test_report__opened_and_not_settled__tells_what_may_still_be_done(world: World) -> None:
    """Nothing is paid yet, and everything is still held."""
    world.folder.mkdir()
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.onlooker.phase(task_id).phase is Phase.CHALLENGE)
    written = document(world, task_id)
    assert (written.split.paid_prize_wei, written.money.out_wei) == (None, 0)
    assert written.money.agrees
    text = words(written)
    assert "this round is not settled yet" in text
    assert "dlbc auditor evidence 1" in text
