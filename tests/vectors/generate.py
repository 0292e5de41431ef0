"""Writes tests/vectors/protocol.json, which the Solidity and the Python tests both read.

Run `python tests/vectors/generate.py` after a deliberate change of a formula; a unit test compares the file with a
fresh run. Every section is a table of parallel arrays: entry i of each array belongs to case i, and an array that
holds several values a case comes with an array of counts. Ints are decimal strings, bytes 0x-hex.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import Any

from dlbc.core import cid, difficulty, disputes, hashing, payouts, phases, proofs, refutation, scoring
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
    PredictionLeaf,
    Round,
    Ruling,
    SumNode,
    Tally,
    Task,
    TaskId,
    Terms,
    TestSet,
    Timestamp,
    TrainingProof,
    Verdict,
    Vote,
    Wei,
    Workload,
)
from eth_account import Account

PATH = Path(__file__).with_name("protocol.json")
SEED = 0xD1BC
T0 = 1_800_000_000
VOTE_SECONDS = 1_800
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
        columns.extend(
            pathHashes=[level.hash for level in path],
            pathSums=[level.sum for level in path],
            pathOwnSums=[level.own_sum for level in path],
        )
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
    return Params(200, 2000, 1, 90 * 86_400, 0, 86_400, *weights, 6 * 3_600, 1_800, pool=ZERO_ADDRESS)


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
        vote_start=Timestamp(0),
        vote=Vote.NONE,
        open_demands=0,
        leader=leader,
        leader_total=0,
        reveals=0,
        samples=0,
        max_sample_score=0,
        classes=0,
        metric=0,
        demand_end=Timestamp(0),
        strikes=0,
        is_fee_due=False,
        test_commitment=ZERO_HASH,
    )


def phase_table(random: Random) -> Table:
    """Facts and the clock to phases."""
    columns = Columns()
    for task, round_, now, gap in phase_cases(random):
        info = phases.phase_of(task, round_, now, gap, VOTE_SECONDS)
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


def voting_cases(random: Random) -> list[tuple[Task, Round, int, int]]:
    """(task, round, now, vote seconds): votes and open demands, around the end of every window."""
    leader = address(random)
    reveal_end, challenge_end = T0 + 2000, T0 + 4000
    task = facts(requester=address(random), release=300, open_=200)
    led = story(T0 + 1000, reveal_end, commits=2, leader=leader)
    opened = replace(led, challenge_end=Timestamp(challenge_end))
    stories: list[tuple[Round, int]] = []
    for vote, round_, start in ((Vote.TEST_SET, led, reveal_end), (Vote.CLAIM, opened, challenge_end)):
        voting = replace(round_, vote=vote)
        again = replace(voting, vote_start=Timestamp(start + 2 * VOTE_SECONDS + 5))
        stories += [(voting, start + step * VOTE_SECONDS) for step in (0, 1, 2)]
        stories += [(again, again.vote_start + step * VOTE_SECONDS) for step in (0, 2, 4)]
    for round_ in (led, opened, replace(opened, vote=Vote.CLAIM)):
        for end in (reveal_end + 100, challenge_end + 100, challenge_end + 3 * VOTE_SECONDS):
            demanded = replace(round_, open_demands=1 + uint(random, 15), demand_end=Timestamp(end))
            stories += [(demanded, at) for at in (reveal_end, challenge_end, challenge_end + VOTE_SECONDS, end)]
    cases = [(task, round_, end + change, VOTE_SECONDS) for round_, end in stories for change in (-1, 0, 1)]
    for _ in range(128):
        ends = [T0 + random.randint(0, 20) if random.random() < 0.7 else 0 for _ in range(3)]
        chosen = story(T0, *ends, commits=1, leader=random.choice((leader, leader, ZERO_ADDRESS)))
        chosen = replace(
            chosen,
            vote=random.choice(list(Vote)),
            vote_start=Timestamp(random.choice((0, T0 + random.randint(10, 30)))),
            open_demands=random.choice((0, 0, 1)),
            demand_end=Timestamp(T0 + random.randint(0, 40)),
        )
        windows = facts(requester=leader, release=5, open_=random.randint(1, 10))
        cases.append((windows, chosen, T0 + random.randint(0, 70), random.randint(1, 10)))
    return cases


def voting_phases(random: Random) -> Table:
    """Facts and the clock to phases, with votes and demands."""
    columns = Columns()
    for task, round_, now, vote_seconds in voting_cases(random):
        info = phases.phase_of(task, round_, now, 0, vote_seconds)
        columns.add(
            requester=task.requester,
            releaseSeconds=task.release_seconds,
            openSeconds=task.open_seconds,
            trainEnd=round_.train_end,
            revealEnd=round_.reveal_end,
            nominateEnd=round_.nominate_end,
            challengeEnd=round_.challenge_end,
            commits=round_.commits,
            leader=round_.leader,
            vote=round_.vote,
            voteStart=round_.vote_start,
            openDemands=round_.open_demands,
            demandEnd=round_.demand_end,
            time=now,
            voteSeconds=vote_seconds,
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
        if bond == 3:
            commits = 0
        share, rest = payouts.abortion(bond, commits)
        columns.add(bondWei=bond, commits=commits, shareWei=share, restWei=rest)
    return columns.table


def ballots(random: Random) -> Table:
    """Ids of cases and votes, ballots, and what the pool stores of them."""
    columns = Columns()
    for index in range(24):
        task_id, round_ = TaskId(MAX[64] if index == 0 else uint(random, 32)), uint(random, 4)
        subject = ZERO_ADDRESS if index % 4 == 0 else address(random)
        pool, voter, salt = address(random), address(random), random.randbytes(32)
        attempt, verdict = index % 2, Verdict(1 + index % 3)
        lock = MAX[96] if index == 0 else 1 + uint(random, 95)
        case_id = proofs.case_id(task_id, round_, subject)
        dispute_id = proofs.dispute_id(case_id, attempt)
        ballot = proofs.ballot_hash(pool, dispute_id, voter, verdict, salt)
        columns.add(taskId=task_id, round=round_, subject=subject, caseId=case_id, attempt=attempt)
        columns.add(disputeId=dispute_id, pool=pool, voter=voter, verdict=verdict, salt=salt, lockWei=lock)
        columns.add(ballot=ballot, sealed=proofs.sealed_ballot(ballot, lock))
        columns.add(opened=proofs.opened_ballot(verdict, lock))
    return columns.table


def tally(random: Random) -> tuple[Tally, int, int]:
    """(locks of ballots, snapshot, lockBps): often at the border of a third or of a half."""
    lock_bps = random.choice((1, 2_000, 10_000, 1 + uint(random, 13) % 10_000))
    stands, falls, unavailable = (uint(random, random.choice((4, 60, 88))) * random.randint(0, 1) for _ in range(3))
    if random.random() < 0.5:
        # half of what is opened, give or take one
        stands = max(0, falls + unavailable + random.choice((-1, 0, 0, 1)))
    opened = stands + falls + unavailable
    snapshot = min(max(0, opened * 30_000 // lock_bps + random.choice((-1, 0, 1))), MAX[96])
    if random.random() < 0.3:
        snapshot = uint(random, 96)
    committed = opened + random.randint(0, 1) * uint(random, 60)
    found = Tally(Wei(committed), Wei(stands), Wei(falls), Wei(unavailable), Wei(0), Wei(0))
    return found, snapshot, lock_bps


def rulings(random: Random) -> Table:
    """Tallies to rulings, and where locks, bonds and struck money go then."""
    columns = Columns()
    for index in range(160):
        votes, snapshot, lock_bps = tally(random)
        attempt, is_claim = index % 2, index % 4 < 2
        ruling = disputes.rule(votes, snapshot, lock_bps, attempt)
        bond, filers = uint(random, 90), 1 + uint(random, 4)
        struck = uint(random, 90) if ruling is Ruling.FALLS else 0
        split = disputes.spoils(ruling, votes, bond_wei=bond, filers=filers, struck_wei=struck, is_claim=is_claim)
        columns.add(committedWei=votes.committed_wei, standsWei=votes.stands_wei, fallsWei=votes.falls_wei)
        columns.add(unavailableWei=votes.unavailable_wei, snapshotWei=snapshot, lockBps=lock_bps, attempt=attempt)
        columns.add(ruling=ruling, isClaim=is_claim, bondWei=bond, filers=filers, struckWei=struck)
        columns.add(**{camel(name): value for name, value in split._asdict().items()})
        lock = uint(random, 90)
        columns.add(lockWei=lock)
        for verdict in (Verdict.STANDS, Verdict.FALLS, Verdict.UNAVAILABLE):
            name = verdict.name.capitalize()
            columns.add(**{f"won{name}": disputes.wins(ruling, verdict)})
            columns.add(**{f"lost{name}Wei": disputes.lost(ruling, verdict, lock)})
    return columns.table


def shares(random: Random) -> Table:
    """A winner's share of a pot, what a ballot locks, and the bond of a dispute."""
    columns = Columns()
    for index in range(48):
        pot = MAX[96] if index == 0 else uint(random, 96)
        weights = MAX[96] if index == 0 else 1 + uint(random, 95)
        weight = weights if index % 4 == 0 else 1 + random.randrange(weights)
        snapshot, active, lock_bps = uint(random, 96), uint(random, 96), 1 + random.randrange(10_000)
        bounty = 1 + uint(random, 95)
        columns.add(potWei=pot, weight=weight, weights=weights, shareWei=disputes.vote_share(pot, weights, weight))
        columns.add(snapshotWei=snapshot, activeWei=active, lockBps=lock_bps)
        columns.add(lockWei=disputes.ballot_lock(snapshot, active, lock_bps))
        columns.add(bountyWei=bounty, bondWei=disputes.dispute_bond(bounty))
    return columns.table


def dividends(random: Random) -> Table:
    """Waiting dividends to the index, the index to what a stake earns, and participation to what is paid."""
    columns = Columns()
    for index in range(48):
        waiting = MAX[96] if index == 0 else uint(random, 96)
        active = 1 if index == 0 else 1 + uint(random, 95)
        step = disputes.spread(waiting, active)
        own = active if index % 3 == 0 else random.randint(0, active)
        accrued = uint(random, 96)
        ballots, votes = uint(random, 4), uint(random, 4) * random.randint(0, 1)
        paid, returned = disputes.dividend(accrued, ballots, votes)
        columns.add(waitingWei=waiting, activeWei=active, gain=step.gain, sharedWei=step.shared_wei)
        columns.add(ownWei=own, earnedWei=disputes.accrued(own, step.gain))
        columns.add(accruedWei=accrued, ballots=ballots, votes=votes, paidWei=paid, returnedWei=returned)
    return columns.table


def refutations(random: Random) -> Table:
    """Leaves with paths and labels, and what they prove: of honest trees, and with one thing wrong."""
    columns = Columns()
    for index in range(144):
        kind = ("honest", "score", "class", "total", "own sum", "sibling sum", "padding", "no label", "metric")[
            index % 9
        ]
        # only a tree whose size is no power of two has padding
        sizes = (3, 5, 6, 7, 9, 33) if kind == "padding" else (1, 2, 3, 4, 5, 7, 8, 9, 16, 33)
        add_refutation(columns, random, random.choice(sizes), kind)
    return columns.table


def add_refutation(columns: Columns, random: Random, samples: int, kind: str) -> None:
    """One leaf. Siblings that no tree of ours has are made up: whoever forges a tree can do that too."""
    digest, classes = hash32(random), 2 + uint(random, 8)
    labels_ = [random.randrange(classes) for _ in range(samples)]
    predicted = [label if random.random() < 0.7 else random.randrange(classes) for label in labels_]
    scored = [int(a == b) for a, b in zip(labels_, predicted, strict=True)]
    chosen = random.randrange(samples)
    if kind == "score":
        scored[chosen] ^= 1
    if kind == "class":
        predicted[chosen] = classes + uint(random, 16)
        scored[chosen] = 0
    tree = scoring.PredictionTree(digest, predicted, scored)
    path, total = list(tree.path(chosen)), tree.total
    leaf = PredictionLeaf(predicted[chosen], scored[chosen])
    if kind == "total":
        total += random.choice((-1, 1, 2**40)) if total else 1
    if kind in ("own sum", "sibling sum") and path:
        level = random.randrange(len(path))
        huge = random.choice((1, 2**64, MAX[256] - path[level].sum - path[level].own_sum))
        name = "own_sum" if kind == "own sum" else "sum"
        path[level] = replace(path[level], **{name: getattr(path[level], name) + huge})
    if kind == "padding":
        chosen = random.randrange(samples, 1 << len(path))
        leaf = PredictionLeaf(uint(random, 8), random.choice((0, 0, 1)))
        carried = leaf.score
        for height in range(len(path)):
            beside = refutation.real_leaves(samples, height, (chosen >> height) ^ 1)
            path[height] = SumNode(hash32(random), random.randint(0, beside), carried)
            carried += path[height].sum
        total = carried
    test_set = TestSet(
        sealed_locator=Locator(hash32(random)),
        plaintext_hash=hash32(random),
        key_hash=hash32(random),
        samples=samples,
        max_sample_score=1,
        classes=classes,
        metric=2 if kind == "metric" else 1,
        labels_root=scoring.label_root(labels_),
    )
    h_top = refutation.top_of_path(digest, chosen, leaf, path)
    is_real = chosen < samples and kind != "no label"
    label = labels_[chosen] if is_real else None
    label_path = scoring.LabelTree(labels_).path(chosen) if is_real else ()
    claim = refutation.ClaimFacts(digest, h_top, total, test_set)
    columns.add(proofDigest=digest, hTop=h_top, total=total, index=chosen, prediction=leaf.prediction)
    columns.add(score=leaf.score, pathCounts=len(path), **members(test_set))
    columns.add(testCommitment=proofs.test_commitment(test_set), hasLabel=is_real, label=label or 0)
    columns.add(labelPathCounts=len(label_path), fault=refutation.fault_of(claim, chosen, leaf, path, label))
    columns.extend(
        pathHashes=[level.hash for level in path],
        pathSums=[level.sum for level in path],
        pathOwnSums=[level.own_sum for level in path],
        labelPaths=label_path,
    )


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
    "votingPhases": voting_phases,
    "settlements": settlements,
    "abortions": abortions,
    "ballots": ballots,
    "rulings": rulings,
    "shares": shares,
    "dividends": dividends,
    "refutations": refutations,
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
