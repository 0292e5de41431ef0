"""Settled models as other programs want them: a folder with a model card, or an ONNX file. Verified first, as ever.

Everything is made beside its place and renamed, so that what stands under its name is whole. What is there already is
compared with what would be written: the same stays, anything else is somebody's and is left alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dlbc.core.errors import NotFound, Refused, VerificationFailed
from dlbc.core.hashing import sha256
from dlbc.core.model_card import CARD, CONFIG, LOADER, WEIGHTS, ModelFacts, card, config, record_of
from dlbc.core.proofs import block_hash
from dlbc.core.report import Checks
from dlbc.core.types import BlockHeader, Hash32, Wei
from dlbc.ports import Exports
from dlbc.roles.artifacts import file_sha256, write_atomically
from dlbc.roles.models import Models, OpenedModel, architecture_file, check_same, writing
from dlbc.roles.reporting import lineage

FOLDER_FILES = (CONFIG, WEIGHTS, LOADER, CARD)
"""In the order in which an existing folder gets them: the first one says whose it is."""
_UNFINISHED = {*FOLDER_FILES, *(name + ".partial" for name in FOLDER_FILES)}
_UNFINISHED |= {WEIGHTS + ".unverified", WEIGHTS + ".unverified.partial"}
_CONVERTING = "converting to ONNX"
_GRAPH_BYTES = 2**24
"""What an ONNX file may have beside its weights."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that a pull left behind."""

    path: Path
    size: int
    sha256: Hash32


@dataclass(frozen=True, slots=True)
class Exporter:
    """Writes settled models of one market in several forms, and compares such files with the ledger."""

    models: Models
    exports: Exports

    def safetensors(self, model: OpenedModel, output: Path) -> list[Written]:
        """The recorded file, and its architecture beside it: `Models.pull`."""
        self.models.pull(model, output)
        return [_written(output), _written(architecture_file(output))]

    def folder(self, model: OpenedModel, output: Path) -> list[Written]:
        """A folder in the style of the Hugging Face Hub: the recorded file, what builds it, and its card.

        One that is not there yet appears whole. An empty one, or one of this same model, gets what it lacks.
        Raises Refused for a folder with anything else in it, or with changed files.
        """
        texts = self._texts(model)
        with writing(output):
            place = _resolved(output)
            if place.exists():
                _check_folder(output, place, texts)
                self._fill(model, place, texts)
            else:
                unfinished = place.with_name(f".{place.name}.unfinished")
                _clear(unfinished)
                unfinished.mkdir(parents=True)
                try:
                    self._fill(model, unfinished, texts)
                    unfinished.rename(place)
                finally:
                    _clear(unfinished)
            return [_written(output / name) for name in FOLDER_FILES]

    def onnx(self, model: OpenedModel, output: Path) -> list[Written]:
        """One ONNX file, made of the verified weights. Raises Refused if another file has its name."""
        self.exports.check_onnx(model.manifest.architecture)
        with writing(output):
            if output.exists():
                self._check_onnx_of(model, output)
            data = self._converted(model)
            if output.exists():
                check_same(output, sha256(data))
            else:
                write_atomically(output, [data])
            return [_written(output)]

    def verify(self, model: OpenedModel, file: Path) -> Checks:
        """Whether a safetensors file, a pulled folder's, or an ONNX file is the settled model."""
        if file.is_dir():
            return self.models.verify_file(model, file / WEIGHTS)
        if file.suffix.lower() == ".onnx":
            return self._verify_onnx(model, file)
        return self.models.verify_file(model, file)

    def facts(self, model: OpenedModel) -> ModelFacts:
        """What is told about a model. Raises VerificationFailed if the log and the ledger disagree on its block."""
        chain, task_id, index = self.models.chain, model.task_id, model.round
        block, posted, manifest = self._block(model), chain.task_posted(task_id), model.manifest
        paid = next((event for event in chain.settlements(task_id) if event.round == index), None)
        return ModelFacts(
            chain_id=chain.chain_id,
            market=chain.market,
            task_id=task_id,
            round=index,
            name=manifest.name,
            license=manifest.license,
            requester=posted.requester,
            miner=model.miner,
            model_hash=model.model_hash,
            watermark_root=model.claim.proof.watermark_root,
            architecture=manifest.architecture,
            training_samples=manifest.samples,
            test_samples=manifest.tests[index].samples,
            total=block.total,
            score_ppm=block.score_ppm,
            min_score_ppm=posted.terms.min_score_ppm,
            block_height=block.height,
            block_hash=block_hash(block),
            settled_at=block.timestamp,
            lineage=tuple(lineage(chain, model.claim.proof.parent_model)),
            royalty_bps=posted.terms.royalty_bps,
            royalty_wei=paid.royalty_wei if paid is not None else Wei(0),
        )

    def _block(self, model: OpenedModel) -> BlockHeader:
        """The ledger's block of a settled model: from the log, held against the hash that the registry stores."""
        chain = self.models.chain
        height = chain.winner(model.task_id, model.round).height
        headers = chain.blocks(height, 1)
        if not headers:
            raise NotFound(f"the node's log does not show ledger block {height}; is it in sync from the start?")
        found, expected = block_hash(headers[0]), chain.block_hash(height)
        if found != expected:
            raise VerificationFailed(f"ledger block {height}: expected hash {expected.hex()}, found {found.hex()}")
        header = headers[0]
        told = (header.task_id, header.round, header.model_hash, header.miner)
        if told != (model.task_id, model.round, model.model_hash, model.miner):
            raise VerificationFailed(
                f"ledger block {height}: expected task {model.task_id}, round {model.round} and its winner, found task "
                f"{header.task_id}, round {header.round}, model {header.model_hash.hex()}"
            )
        return header

    def _texts(self, model: OpenedModel) -> dict[str, bytes]:
        facts = self.facts(model)
        return {
            CONFIG: config(facts).encode(),
            LOADER: self.exports.loader(facts.architecture),
            CARD: card(facts).encode(),
        }

    def _fill(self, model: OpenedModel, folder: Path, texts: Mapping[str, bytes]) -> None:
        """Writes what is not there."""
        for name in FOLDER_FILES:
            if name == WEIGHTS:
                self.models.pull_weights(model, folder / name)
            elif not (folder / name).exists():
                write_atomically(folder / name, [texts[name]])

    def _converted(self, model: OpenedModel) -> bytes:
        facts = self.facts(model)
        about = {name: str(value) for name, value in record_of(facts).items()}
        weights = self.models.weights(model)
        self.models.progress(_CONVERTING, 0, 1)
        data = self.exports.to_onnx(weights, facts.architecture, about)
        self.models.progress(_CONVERTING, 1, 1)
        return data

    def _check_onnx_of(self, model: OpenedModel, output: Path) -> None:
        """Raises Refused, before minutes are spent, for what can't be an earlier pull of this model."""
        if not output.is_file():
            raise Refused(f"{output} is a folder; name a file")
        try:
            about = self.exports.read_onnx(_read(output, model.manifest.model_bytes + _GRAPH_BYTES)).about
        except VerificationFailed:
            about = {}
        if about.get("model_hash") != model.model_hash.hex():
            raise Refused(f"{output} is there already and is no ONNX file of this model; name another one")

    def _verify_onnx(self, model: OpenedModel, file: Path) -> Checks:
        """Every part of the file against what the client makes of the recorded model: weights, metadata, graph."""
        if not file.is_file():
            raise NotFound(f"model file {file} does not exist")
        self.exports.check_onnx(model.manifest.architecture)
        checks, most = Checks(), model.manifest.model_bytes + _GRAPH_BYTES
        name, whole = "ONNX file", f"one of at most {most} bytes"
        found = checks.attempt(name, whole, lambda: self.exports.read_onnx(_read(file, most)))
        if found is None:
            return checks
        checks.that(name, True, whole, f"{file.stat().st_size} bytes, made by {found.producer}")
        ours = self.exports.read_onnx(self._converted(model))
        names = found.tensors.keys() | ours.tensors.keys()
        other = sorted(name for name in names if found.tensors.get(name) != ours.tensors.get(name))
        same = f"{len(ours.tensors)} tensors, bit for bit those of {model.model_hash.hex()}"
        checks.that("weights", not other, same, f"{len(other)} other, such as {other[0]!a:.60}" if other else same)
        stray = sorted(key for key, _ in ours.about.items() ^ found.about.items())
        said = f"{len(ours.about)} entries as the ledger has them"
        told = f"{stray[0]!a:.60} is {found.about.get(stray[0])!a:.90}" if stray else said
        checks.that("metadata", not stray, said, told)
        graph = f"what this client makes of the model, with {ours.producer}"
        is_same = found.rest == ours.rest
        checks.that("graph", is_same, graph, "it is" if is_same else f"another one, made by {found.producer}")
        return checks


def _resolved(output: Path) -> Path:
    try:
        return output.resolve()
    except RuntimeError as error:  # how pathlib tells a link that leads to itself
        raise Refused(f"{output} can't be written: it is a link to itself") from error


def _check_folder(output: Path, place: Path, texts: Mapping[str, bytes]) -> None:
    """Raises Refused for a folder that is neither empty nor a pull of the model that `texts` describe."""
    if not place.is_dir():
        raise Refused(f"{output} is there already and is no folder; name a new one")
    if any(place.iterdir()) and not _holds(place / CONFIG, texts[CONFIG]):
        raise Refused(f"{output} is there already and is no folder of this model; name a new or an empty one")
    for name, data in texts.items():
        if (place / name).exists() and not _holds(place / name, data):
            raise Refused(f"{output / name} is not as this pull would write it; move it away or name another folder")


def _holds(file: Path, data: bytes) -> bool:
    return file.is_file() and file.stat().st_size == len(data) and file.read_bytes() == data


def _clear(unfinished: Path) -> None:
    """Removes what a pull that was killed left behind, and nothing else. Raises Refused if there is anything else."""
    if not unfinished.exists():
        return
    if unfinished.is_symlink() or not unfinished.is_dir() or {file.name for file in unfinished.iterdir()} - _UNFINISHED:
        raise Refused(f"{unfinished} is in the way and holds what no pull has written; move it away")
    shutil.rmtree(unfinished)


def _read(file: Path, most: int) -> bytes:
    size = file.stat().st_size
    if size > most:
        raise VerificationFailed(f"ONNX file: expected at most {most} bytes, found {size}")
    with file.open("rb") as opened:
        return opened.read(most)


def _written(path: Path) -> Written:
    return Written(path, path.stat().st_size, file_sha256(path))
