"""The audit report: an audit as a page and as JSON, for whoever wants to follow it without running it.

Everything on it is read from the chain and from the audit's own findings; the page is rendered by an adapter.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dlbc.core.architecture import architecture_to_json
from dlbc.core.audit_document import (
    Ancestor,
    AuditDocument,
    Command,
    Fact,
    Score,
    Split,
)
from dlbc.core.cid import to_cid
from dlbc.core.errors import Refused
from dlbc.core.events import TaskEvent, TaskPosted
from dlbc.core.grounds import grounds_of
from dlbc.core.manifest import Manifest
from dlbc.core.money_flow import MoneyFlow, money_flow
from dlbc.core.payouts import settlement
from dlbc.core.proofs import block_hash
from dlbc.core.scoring import score_ppm
from dlbc.core.timeline import of_round, timeline
from dlbc.core.types import PPM, ZERO_ADDRESS, ZERO_HASH, Hash32, Round, TaskId
from dlbc.core.units import format_duration, format_ppm
from dlbc.ports import Chain
from dlbc.roles.artifacts import write_atomically
from dlbc.roles.auditor import Auditor, AuditReport
from dlbc.roles.evidence import ground_names

MAX_ANCESTORS = 64
_WRITING = "writing the report"

Render = Callable[[AuditDocument], Mapping[str, bytes]]
"""The files of a report by their suffix, such as ".html"."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """Audits, and writes down what the audit saw."""

    auditor: Auditor
    render: Render
    client: str
    """Name and version of this program."""

    def report(
        self, task_id: TaskId, round_index: int | None, folder: Path, *, model_file: Path | None = None
    ) -> tuple[AuditReport, list[Path]]:
        """The audit, and the files written to `folder`; each is whole or not there.

        Raises Refused, before anything is audited, for a folder that can't be written, and as `Auditor.audit`.
        """
        check_writable(folder)
        report = self.auditor.audit(task_id, round_index, model_file=model_file)
        self.auditor.progress(_WRITING, 0, 2)
        document = self.document(report, model_file)
        self.auditor.progress(_WRITING, 1, 2)
        files = []
        for suffix, data in self.render(document).items():
            file = folder / f"task-{report.task_id}-round-{report.round}{suffix}"
            try:
                write_atomically(file, [data])
            except OSError as error:
                _cannot_write(folder, error)
            files.append(file)
        self.auditor.progress(_WRITING, 2, 2)
        return report, files

    def document(self, report: AuditReport, model_file: Path | None = None) -> AuditDocument:
        """What is written down of an audit."""
        chain, task_id, index, seen = self.auditor.chain, report.task_id, report.round, report.findings
        assert seen.claim is not None
        task, posted, facts = chain.task(task_id), chain.task_posted(task_id), chain.round(task_id, index)
        history = chain.history(task_id)
        events, more = of_round(history, index)
        times = chain.block_times({event.block_number for event in events})
        return AuditDocument(
            client=self.client,
            chain_id=chain.chain_id,
            market=chain.market,
            read_at=chain.now(),
            task_id=task_id,
            round=index,
            rounds=task.rounds,
            name=seen.manifest.name if seen.manifest is not None else "",
            phase=chain.phase(task_id).phase.label,
            is_settled=report.is_settled,
            is_passed=report.passed,
            requester=task.requester,
            miner=report.miner,
            model_hash=report.model_hash,
            grounds=() if report.is_settled else tuple(ground_names(grounds_of(report.checks))),
            facts=tuple(_facts(chain, report, posted, facts)),
            checks=report.checks,
            timeline=timeline(events, index, facts, times, chain.now()),
            left_out=tuple(Fact(what, str(count)) for what, count in more.items()),
            split=_split(chain, report, posted),
            money=money_of(chain, task_id, history),
            lineage=tuple(lineage(chain, seen.claim.proof.parent_model)),
            score=_score(report, posted, facts),
            samples=seen.samples,
            marks=seen.marks,
            commands=tuple(_commands(chain, report, model_file)),
        )


def money_of(chain: Chain, task_id: TaskId, history: Sequence[TaskEvent]) -> MoneyFlow:
    """Where the money of a task came from and went, by its history; and what its facts say is still due."""
    task = chain.task(task_id)
    rounds = [chain.round(task_id, index) for index in range(task.round + 1)]
    posted, settlements = chain.task_posted(task_id), chain.settlements(task_id)
    return money_flow(history, posted, task, rounds, settlements, chain.params().pool)


def lineage(chain: Chain, parent: Hash32) -> list[Ancestor]:
    """The declared parent, its own, and so on; the nearest first, each model once."""
    found: dict[Hash32, Ancestor] = {}
    model = parent
    while model != ZERO_HASH and model not in found and len(found) < MAX_ANCESTORS:
        record = chain.watermark(model)
        if record.miner == ZERO_ADDRESS:
            found[model] = Ancestor(model, None, None, None, None)
            break
        winner, facts = chain.winner(record.task_id, record.round), chain.round(record.task_id, record.round)
        score = score_ppm(winner.total, max(1, facts.samples), max(1, facts.max_sample_score))
        found[model] = Ancestor(model, record.task_id, record.round, record.miner, score)
        model = winner.parent_model
    return list(found.values())


def check_writable(folder: Path) -> None:
    """Makes the folder if need be. Raises Refused with one sentence if nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        _cannot_write(folder, error)


def _cannot_write(folder: Path, error: OSError) -> NoReturn:
    raise Refused(
        f"the report can't be written to {folder}: {error.strerror or error}; name another folder with --report"
    ) from error


# ------------------------------------------------------------------ the parts


def _facts(chain: Chain, report: AuditReport, posted: TaskPosted, facts: Round) -> list[Fact]:
    terms, seen = posted.terms, report.findings
    assert seen.claim is not None
    proof = seen.claim.proof
    manifest = [*_manifest_facts(seen.manifest, report.round)] if seen.manifest is not None else []
    entry = chain.entry(report.task_id, report.round, report.miner)
    windows = (terms.train_seconds, terms.release_seconds, terms.reveal_seconds, terms.open_seconds)
    found = [
        *manifest,
        Fact("Minimum score", format_ppm(terms.min_score_ppm)),
        Fact("Tolerance", format_ppm(terms.tolerance_ppm)),
        Fact(
            "Windows: training, release, reveal, opening, challenge",
            ", ".join(format_duration(seconds) for seconds in (*windows, terms.challenge_seconds)),
        ),
        Fact("Difficulty", f"{posted.difficulty / 1e6:.3f}"),
        Fact("Terms hash", "0x" + posted.terms_hash.hex()),
        Fact("Commits, reveals, strikes", f"{facts.commits}, {facts.reveals}, {facts.strikes}"),
        Fact("Number of the audited commit", str(entry.commit_seq)),
        Fact("sha256 of the weights", proof.model_hash.hex()),
        Fact("Sealed weights", to_cid(proof.sealed_model)),
        Fact("Published predictions", to_cid(seen.claim.claim.predictions)),
        Fact("Watermark root", "0x" + proof.watermark_root.hex()),
    ]
    if report.is_settled:
        height = chain.winner(report.task_id, report.round).height
        headers = chain.blocks(height, 1)
        shown = "0x" + block_hash(headers[0]).hex() if headers else "not in the log"
        found.append(Fact("Ledger block", f"{height} ({shown})"))
    return found


def _manifest_facts(manifest: Manifest, index: int) -> list[Fact]:
    settings = architecture_to_json(manifest.architecture)
    test = manifest.tests[index]
    return [
        Fact("Model", ", ".join(f"{name} {value}" for name, value in settings.items())),
        Fact(
            "Training data",
            f"{manifest.samples} samples in {len(manifest.shards)} shards, {manifest.data_bytes} bytes",
        ),
        Fact("Test set", f"{test.samples} samples, {test.size_bytes} bytes, sealed as {to_cid(test.sealed)}"),
        Fact("Largest model", f"{manifest.model_bytes} bytes"),
    ]


def _split(chain: Chain, report: AuditReport, posted: TaskPosted) -> Split:
    assert report.findings.claim is not None
    terms, has_parent = posted.terms, report.findings.claim.proof.parent_model != ZERO_HASH
    shares = settlement(terms.bounty_wei, chain.params().fee_bps, terms.royalty_bps, has_parent)
    paid = next((event for event in chain.settlements(report.task_id) if event.round == report.round), None)
    return Split(
        bounty_wei=terms.bounty_wei,
        prize_wei=shares.paid_wei,
        fee_wei=shares.fee_wei,
        royalty_wei=shares.royalty_wei,
        paid_prize_wei=paid.paid_wei if paid else None,
        paid_fee_wei=paid.fee_wei if paid else None,
        paid_royalty_wei=paid.royalty_wei if paid else None,
    )


def _score(report: AuditReport, posted: TaskPosted, facts: Round) -> Score:
    seen = report.findings
    assert seen.claim is not None
    if seen.score is None:
        missing = "No score by class: the test set or the published predictions could not be had; the checks say why."
    elif not seen.is_recomputed:
        missing = (
            "Counted from what the miner published, not from its model: no verified weights could be had; the checks "
            "say why."
        )
    else:
        missing = ""
    return Score(
        claimed_total=seen.claim.claim.total,
        claimed_ppm=report.score_ppm,
        required_ppm=posted.terms.min_score_ppm,
        allowed_mismatches=posted.terms.tolerance_ppm * facts.samples // PPM if facts.samples else None,
        mismatches=seen.mismatches,
        is_recomputed=seen.is_recomputed,
        table=seen.score,
        missing=missing,
    )


def _commands(chain: Chain, report: AuditReport, model_file: Path | None) -> list[Command]:
    """No endpoint is named: the auditor's own may hold a secret, and any other one will do."""
    task = f"{report.task_id} --round {report.round}"
    model = "" if model_file is None else " --model FILE"
    settings = f"export DLBC_MARKET={chain.market} DLBC_CHAIN_ID={chain.chain_id} DLBC_RPC_URL=… DLBC_IPFS_API=…"
    found = [
        Command(f"Any RPC endpoint of chain {chain.chain_id}, any IPFS node; no account", settings),
        Command("This whole report", f"dlbc audit {task}{model} --report out/"),
    ]
    if report.is_settled:
        found += [
            Command("The weights, checked on their way", f"dlbc model pull {task} -o model.safetensors"),
            Command(f"Prints {report.model_hash.hex()}", "sha256sum model.safetensors"),
            Command(
                "Digest, architecture and mark of a file",
                f"dlbc model verify model.safetensors --task {task}",
            ),
            Command("Whose marks are in it", "dlbc watermark detect model.safetensors --all"),
            Command("Every block of the ledger", "dlbc ledger verify"),
        ]
    else:
        found += [
            Command("What was objected to, by whom", f"dlbc auditor evidence {report.task_id}"),
            Command("Object, while the challenge lasts", f"dlbc auditor dispute {report.task_id}"),
        ]
    return found
