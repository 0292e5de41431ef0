"""Writes tests/vectors/protocol.json, which the Solidity and the Python tests both read.

Run `python tests/vectors/generate.py` after a deliberate change of a formula; a unit test compares the file with a
fresh run. Every section is a table of parallel arrays: entry i of each array belongs to case i, and an array that
holds several values a case comes with an array of counts. Ints are decimal strings, bytes 0x-hex.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

from dlbc.core import cid, difficulty, hashing, payouts, phases, proofs, scoring
from dlbc.core.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    BlockHeader,
    Claim,
    Hash32,
    Locator,
    Outcome,
    Params,
    Round,
    Task,
    TaskId,
    Terms,
    TestSet,
    Timestamp,
    TrainingProof,
    Wei,
    Workload,
)
from eth_account import Account

PATH = Path(__file__).with_name("protocol.json")
SEED = 0xD1BC
T0 = 1_800_000_000
MAX = {bits: 2**bits - 1 for bits in (16, 32, 40, 64, 96, 128, 256)}

Table = dict[str, list[Any]]


class Columns:
    """Collects cases as parallel arrays."""

    def __init__(self) -> None:
        """Starts without a case."""
        self.table: Table = {}

    def add(self, **values: Any) -> None:
        """Appends one value to each array."""
        for name, value in values.items():
            self.table.setdefault(name, []).append(plain(value))

    def extend(self, **values: Iterable[Any]) -> None:
        """Appends several values to each array."""
        for name, items in values.items():
            self.table.setdefault(name, []).extend(plain(item) for item in items)


def plain(value: Any) -> Any:
    """A value as JSON that Solidity's vm.parseJson reads."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return str(int(value))
    return "0x" + value.hex()


def camel(name: str) -> str:
    """snake_case to camelCase."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def members(value: Any) -> dict[str, Any]:
    """A flat dataclass by camelCase names."""
    return {camel(field.name): getattr(value, field.name) for field in fields(value)}


def hash32(random: Random) -> Hash32:
    """A random hash."""
    return Hash32(random.randbytes(32))


def address(random: Random) -> Address:
    """A random address; no checksum is needed to hash it."""
    return Address("0x" + random.randbytes(20).hex())


def uint(random: Random, bits: int) -> int:
    """Random, of a random length, so that small and large values both come up."""
    return random.getrandbits(random.randint(1, bits))


# ---------------------------------------------------------------- sections, in the order a task lives


def hashes(random: Random) -> Table:
    """keccak256 and sha256 of bytes of lengths around their block sizes."""
    columns = Columns()
    for size in (0, 1, 31, 32, 33, 55, 56, 63, 64, 65, 135, 136, 137, 271, 272, 273, 1000):
        data = random.randbytes(size)
        columns.add(data=data, keccak256=hashing.keccak(data), sha256=hashing.sha256(data))
    return columns.table


def workload(random: Random) -> Workload:
    """A random workload within the types' ranges."""
    return Workload(
        parameters=uint(random, 64),
        flops_per_sample=uint(random, 64),
        samples=uint(random, 64),
        epochs=uint(random, 32),
        data_bytes=uint(random, 64),
        model_bytes=uint(random, 64),
    )


def terms(random: Random) -> Table:
    """Terms with 1 to 16 test commitments."""
    columns = Columns()
    for index in range(24):
        values = Terms(
            hash32(random),
            Locator(hash32(random)),
            Workload(MAX[64], MAX[64], MAX[64], MAX[32], MAX[64], MAX[64]) if index == 0 else workload(random),
            *(MAX[32] if index == 0 else uint(random, 32) for _ in range(8)),
            *(Wei(MAX[96] if index == 0 else uint(random, 96)) for _ in range(3)),
            royalty_bps=MAX[16] if index == 0 else uint(random, 16),
        )
        commitments = [hash32(random) for _ in range(1 + index % 16)]
        flat = {name: value for name, value in members(values).items() if name != "workload"}
        columns.add(**flat, **members(values.workload), testCommitmentCounts=len(commitments))
        columns.extend(testCommitments=commitments)
        columns.add(termsHash=proofs.terms_hash(values, commitments))
    return columns.table


def test_sets(random: Random) -> Table:
    """Preimages of test commitments, with keys."""
    columns = Columns()
    for index in range(24):
        key = random.randbytes(32)
        test_set = TestSet(
            sealed_locator=Locator(hash32(random)),
            plaintext_hash=hash32(random),
            key_hash=proofs.key_hash(key),
            samples=2**32 if index == 0 else 1 + uint(random, 32),
            max_sample_score=2**24 if index == 0 else 1 + uint(random, 23),
            classes=MAX[32] if index == 0 else uint(random, 32),
            metric=MAX[16] if index == 0 else 1,
            labels_root=hash32(random),
        )
        columns.add(**members(test_set), testKey=key, testCommitment=proofs.test_commitment(test_set))
    return columns.table


def signed_proofs(random: Random) -> Table:
    """Proofs, commitments, claims and signatures of miners whose private keys are given."""
    columns = Columns()
    for index in range(24):
        account = Account.from_key(random.randbytes(32))
        chain_id = (1, 31337, 42161, MAX[64])[index % 4]
        market = address(random)
        proof = TrainingProof(
            task_id=TaskId(MAX[256] if index == 0 else uint(random, 32)),
            round=MAX[16] if index == 0 else uint(random, 4),
            miner=Address(account.address),
            model_hash=hash32(random),
            sealed_model=Locator(hash32(random)),
            seal_key_hash=hash32(random),
            watermark_root=hash32(random),
            parent_model=hash32(random) if index % 2 else ZERO_HASH,
        )
        claim = Claim(MAX[64] if index == 0 else uint(random, 56), hash32(random), Locator(hash32(random)))
        salt = random.randbytes(32)
        digest = proofs.proof_digest(proof, chain_id, market)
        typed = proofs.score_claim_typed_data(digest, claim, chain_id, market)
        columns.add(
            chainId=chain_id,
            market=market,
            **members(proof),
            **members(claim),
            salt=salt,
            privateKey=bytes(account.key),
            domainSeparator=proofs.domain_separator(chain_id, market),
            proofDigest=digest,
            commitment=proofs.commitment(digest, salt),
            claimHash=proofs.claim_hash(digest, claim),
            scoreClaimDigest=proofs.score_claim_digest(digest, claim, chain_id, market),
            signature=bytes(account.sign_typed_data(full_message=typed).signature),
        )
    return columns.table


def slots(random: Random) -> Table:
    """Watermark slot keys, their root, and the path of one slot."""
    columns = Columns()
    for count in (2, 4, 8):
        for index in range(count):
            keys = [random.randbytes(32) for _ in range(count)]
            path = proofs.slot_path(keys, index)
            columns.add(keyCounts=count, index=index, key=keys[index], root=proofs.slot_root(keys))
            columns.add(pathCounts=len(path))
            columns.extend(keys=keys, paths=path)
    return columns.table


def blocks(random: Random) -> Table:
    """Ledger blocks."""
    columns = Columns()
    for index in range(24):
        header = BlockHeader(
            version=MAX[16] if index == 0 else 1,
            height=MAX[64] if index == 0 else index - 1,
            previous_hash=hash32(random),
            task_id=TaskId(MAX[256] if index == 0 else uint(random, 64)),
            round=MAX[16] if index == 0 else uint(random, 4),
            model_hash=hash32(random),
            proof_digest=hash32(random),
            miner=address(random),
            total=MAX[64] if index == 0 else uint(random, 56),
            score_ppm=MAX[32] if index == 0 else random.randint(0, 1_000_000),
            difficulty=MAX[64] if index == 0 else uint(random, 28),
            cumulative_difficulty=MAX[128] if index == 0 else uint(random, 64),
            timestamp=Timestamp(MAX[40] if index == 0 else T0 + uint(random, 30)),
            open_tasks=MAX[32] if index == 0 else uint(random, 10),
        )
        columns.add(**members(header), blockHash=proofs.block_hash(header))
    return columns.table


def genesis(random: Random) -> Table:
    """What block 0 links to."""
    columns = Columns()
    for chain_id in (1, 10, 31337, MAX[64]):
        registry = address(random)
        columns.add(chainId=chain_id, registry=registry, genesisHash=proofs.genesis_hash(chain_id, registry))
    return columns.table


def labels(random: Random) -> Table:
    """Label trees of sizes around the powers of two."""
    columns = Columns()
    for size in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 100):
        values = [uint(random, 20) for _ in range(size)]
        tree = scoring.LabelTree(values)
        index = random.randrange(size)
        columns.add(counts=size, index=index, root=tree.root, pathCounts=len(tree.path(index)))
        columns.extend(labels=values, paths=tree.path(index))
    return columns.table


def predictions(random: Random) -> Table:
    """Prediction trees, with the path of one leaf."""
    columns = Columns()
    for size in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 100):
        maximum = 1 if size % 2 else 2**24
        classes = [uint(random, 32) for _ in range(size)]
        scores = [random.randint(0, maximum) for _ in range(size)]
        digest = hash32(random)
        tree = scoring.PredictionTree(digest, classes, scores)
        index = random.randrange(size)
        path = tree.path(index)
        columns.add(proofDigest=digest, counts=size, total=tree.total, hTop=tree.h_top, root=tree.root(size))
        columns.add(index=index, pathCounts=len(path))
        columns.extend(predictions=classes, scores=scores)
        columns.extend(pathHashes=[node for node, _ in path], pathSums=[total for _, total in path])
    return columns.table


def scores(random: Random) -> Table:
    """Display scores, and whether a total reaches a threshold; many just at it."""
    columns = Columns()
    for index in range(96):
        samples = 2**32 if index == 0 else 1 + uint(random, 32)
        maximum = 2**24 if index == 0 else 1 + uint(random, 23)
        required = (0, 1_000_000)[index] if index < 2 else random.randint(0, 1_000_000)
        exact = -(-required * samples * maximum // 1_000_000)
        total = min(max(exact + random.choice((-1, 0, 1)), 0), samples * maximum)
        columns.add(
            total=total,
            samples=samples,
            maxSampleScore=maximum,
            requiredPpm=required,
            scorePpm=scoring.score_ppm(total, samples, maximum),
            meets=scoring.meets(total, required, samples, maximum),
        )
    return columns.table


def log2(random: Random) -> Table:
    """log2(1 + n/d) in millionths: extremes, powers of two and their neighbours, random."""
    columns = Columns()
    cases = [(0, 1), (0, 2**160 - 1), (1, 1), (1, 2**20), (1, 2**64), (1, 2**160 - 1), (2**160 - 1, 1)]
    cases += [(2**160 - 1, 10**9), (2**160 - 1, 2**160 - 1), (10**9, 10**9), (3 * 10**9, 10**9)]
    cases += [(2**bits + change, 1) for bits in (1, 2, 32, 63, 64, 127, 128, 159) for change in (-1, 0, 1)]
    cases += [(uint(random, 160), 1 + uint(random, random.choice((8, 30, 64, 159)))) for _ in range(128)]
    for n, d in cases:
        columns.add(n=n, d=d, log2Millionths=difficulty.log2_millionths(n, d))
    return columns.table


def params(random: Random) -> Params:
    """Default weights, or random ones that sum to 1e6."""
    cuts = sorted(random.randint(0, 1_000_000) for _ in range(3))
    weights = [500_000, 200_000, 200_000, 100_000]
    if random.random() < 0.5:
        weights = [cuts[0], cuts[1] - cuts[0], cuts[2] - cuts[1], 1_000_000 - cuts[2]]
    return Params(200, 2000, 1, 90 * 86_400, 0, 86_400, *weights, fee_receiver=ZERO_ADDRESS)


def difficulties(random: Random) -> Table:
    """Workload, queue and weights to difficulty; all within the limit of P-80."""
    columns = Columns()
    least = Workload(1, 1, 1, 1, 1, 1)
    most = Workload(MAX[64], MAX[64], MAX[64], 2**30, MAX[64], MAX[64])
    cases = [(least, 1), (least, MAX[32]), (most, 1), (most, MAX[32])]
    cases += [(workload(random), 1 + uint(random, 16)) for _ in range(124)]
    for work, queue in cases:
        values = params(random)
        columns.add(
            **members(work),
            queue=queue,
            weightComplexity=values.weight_complexity,
            weightNetwork=values.weight_network,
            weightData=values.weight_data,
            weightQueue=values.weight_queue,
            difficulty=difficulty.difficulty(work, queue, values),
        )
    return columns.table


def ranks(random: Random) -> Table:
    """Bounty, age and difficulty to rank."""
    columns = Columns()
    cases = [(0, 0, 1, 1), (MAX[96], MAX[40], 1, 1), (MAX[96], 0, 365 * 86_400, MAX[64]), (10**9 - 1, 0, 1, 1)]
    for _ in range(124):
        aging = 1 + random.randrange(365 * 86_400)
        cases.append((uint(random, 96), uint(random, 40), aging, 1 + uint(random, 28)))
    for bounty, waited, aging, hardness in cases:
        columns.add(
            bountyWei=bounty,
            waitedSeconds=waited,
            agingSeconds=aging,
            difficulty=hardness,
            rank=difficulty.rank(bounty, waited, hardness, aging),
        )
    return columns.table


def phase_cases(random: Random) -> list[tuple[Task, Round, int, int]]:
    """(task, round, now, finality gap): every window's last second, end, and what follows."""
    leader = address(random)
    train_end, reveal_end, gap = T0 + 1000, T0 + 2000, 60
    task = facts(requester=address(random), release=300, open_=200)
    stories = [
        (task, story(train_end), (train_end,)),
        (task, story(train_end, commits=2), (train_end, train_end + gap, train_end + gap + 300)),
        (task, story(train_end, reveal_end, commits=2), (reveal_end,)),
        (task, story(train_end, reveal_end, commits=2, leader=leader), (reveal_end, reveal_end + 200)),
    ]
    nominate_end = reveal_end + 400
    nominating = story(train_end, reveal_end, nominate_end, commits=2)
    stories.append((task, nominating, (reveal_end, nominate_end)))
    nominated = story(train_end, reveal_end, nominate_end, commits=2, leader=leader)
    stories.append((task, nominated, (reveal_end, nominate_end, nominate_end + 200)))
    challenge_end = nominate_end + 500
    opened = story(train_end, reveal_end, nominate_end, challenge_end, commits=2, leader=leader)
    stories.append((task, opened, (reveal_end, nominate_end, challenge_end)))
    opened_at_once = story(train_end, reveal_end, 0, challenge_end, commits=2, leader=leader)
    stories.append((task, opened_at_once, (reveal_end, challenge_end)))
    cases = [
        (task_, round_, end + change, gap_)
        for task_, round_, ends in stories
        for end in ends
        for change in (-1, 0, 1, 10**6)
        for gap_ in (gap, 0)
    ]
    for outcome in Outcome:
        for requester in (task.requester, ZERO_ADDRESS):
            ended = facts(requester=requester, release=300, open_=200, outcome=outcome)
            cases.append((ended, opened, challenge_end - 1, gap))
    for _ in range(64):
        ends = [T0 + random.randint(0, 20) if random.random() < 0.7 else 0 for _ in range(3)]
        chosen = story(
            T0 + random.randint(0, 10),
            *ends,
            commits=random.randint(0, 2),
            leader=random.choice((leader, ZERO_ADDRESS)),
        )
        windows = facts(requester=leader, release=random.randint(1, 10), open_=random.randint(1, 10))
        cases.append((windows, chosen, T0 + random.randint(0, 40), random.randint(0, 5)))
    return cases


def facts(requester: Address, release: int, open_: int, outcome: Outcome = Outcome.NONE) -> Task:
    """A task of which only the facts that phases depend on matter."""
    return Task(
        requester=requester,
        round=0,
        rounds=1,
        outcome=outcome,
        train_seconds=1000,
        release_seconds=release,
        bounty_wei=Wei(10**18),
        deposit_wei=Wei(10**17),
        reveal_seconds=100,
        open_seconds=open_,
        bond_wei=Wei(10**17),
        challenge_seconds=500,
        min_score_ppm=0,
        min_gain_ppm=0,
        tolerance_ppm=0,
        royalty_bps=0,
        difficulty=1,
        posted_at=Timestamp(T0),
        terms_hash=ZERO_HASH,
    )


def story(
    train_end: int,
    reveal_end: int = 0,
    nominate_end: int = 0,
    challenge_end: int = 0,
    *,
    commits: int = 0,
    leader: Address = ZERO_ADDRESS,
) -> Round:
    """A round of which only the facts that phases depend on matter."""
    return Round(
        train_end=Timestamp(train_end),
        reveal_end=Timestamp(reveal_end),
        nominate_end=Timestamp(nominate_end),
        challenge_end=Timestamp(challenge_end),
        commits=commits,
        leader=leader,
        leader_total=0,
        reveals=0,
        samples=0,
        max_sample_score=0,
        classes=0,
        metric=0,
        test_commitment=ZERO_HASH,
    )


def phase_table(random: Random) -> Table:
    """Facts and the clock to phases."""
    columns = Columns()
    for task, round_, now, gap in phase_cases(random):
        info = phases.phase_of(task, round_, now, gap)
        columns.add(
            requester=task.requester,
            outcome=task.outcome,
            releaseSeconds=task.release_seconds,
            openSeconds=task.open_seconds,
            trainEnd=round_.train_end,
            revealEnd=round_.reveal_end,
            nominateEnd=round_.nominate_end,
            challengeEnd=round_.challenge_end,
            commits=round_.commits,
            leader=round_.leader,
            time=now,
            finalityGap=gap,
            phase=info.phase,
            due=info.due,
            endsAt=info.ends_at,
        )
    return columns.table


def settlements(random: Random) -> Table:
    """How a settled round's bounty is split."""
    columns = Columns()
    bounties = [1, 49, 50, 10**4 - 1, 10**18, MAX[96], *(uint(random, 96) for _ in range(42))]
    for bounty in bounties:
        fee, royalty = random.choice((0, 200, 500)), random.choice((0, 500, 2000))
        has_parent = random.random() < 0.5
        paid, fee_wei, royalty_wei = payouts.settlement(bounty, fee, royalty, has_parent)
        columns.add(bountyWei=bounty, feeBps=fee, royaltyBps=royalty, hasParent=has_parent)
        columns.add(paidWei=paid, feeWei=fee_wei, royaltyWei=royalty_wei)
    return columns.table


def abortions(random: Random) -> Table:
    """How an aborted task's bond is split."""
    columns = Columns()
    for bond in [1, 2, 3, MAX[96], *(uint(random, 96) for _ in range(28))]:
        commits = 1 + uint(random, random.choice((2, 8, 31)))
        share, rest = payouts.abortion(bond, commits)
        columns.add(bondWei=bond, commits=commits, shareWei=share, restWei=rest)
    return columns.table


def cids(_random: Random) -> Table:
    """Locators of files of `size` bytes, byte i = (i * i + i // 251) mod 256."""
    columns = Columns()
    chunk = cid.CHUNK_BYTES
    for size in (0, 1, 100, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 7):
        locator = cid.locator_of(pattern(size))
        columns.add(size=size, locator=locator, cid=cid.to_cid(locator))
    return columns.table


def pattern(size: int) -> bytes:
    """The bytes that `cids` names."""
    return bytes((i * i + i // 251) % 256 for i in range(size))


SECTIONS: dict[str, Callable[[Random], Table]] = {
    "hashes": hashes,
    "terms": terms,
    "testSets": test_sets,
    "proofs": signed_proofs,
    "slots": slots,
    "blocks": blocks,
    "genesis": genesis,
    "labels": labels,
    "predictions": predictions,
    "scores": scores,
    "log2": log2,
    "difficulties": difficulties,
    "ranks": ranks,
    "phases": phase_table,
    "settlements": settlements,
    "abortions": abortions,
    "cids": cids,
}


def generate() -> str:
    """The file's text; each section has its own seed, so that adding one leaves the others as they are."""
    tables = {name: section(Random(f"{SEED}/{name}")) for name, section in SECTIONS.items()}
    lines = []
    for name, table in tables.items():
        arrays = ",\n".join(f'    "{key}": {json.dumps(values)}' for key, values in table.items())
        lines.append(f'  "{name}": {{\n{arrays}\n  }}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    PATH.write_text(generate(), encoding="utf-8")
