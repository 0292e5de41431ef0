"""What is signed and committed to agrees with eth_account and eth_abi, which know nothing of this project."""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from typing import Any

import pytest
from dlbc.core import proofs
from dlbc.core.errors import BadInput
from dlbc.core.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    BlockHeader,
    Claim,
    Hash32,
    Locator,
    TaskId,
    Terms,
    TestSet,
    Timestamp,
    TrainingProof,
    Verdict,
    Wei,
    Workload,
)
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
MINER = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")


def digest_of(number: int) -> Hash32:
    """A distinct hash for each number."""
    return Hash32(number.to_bytes(32, "big"))


PROOF = TrainingProof(
    task_id=TaskId(7),
    round=1,
    miner=MINER,
    model_hash=digest_of(1),
    sealed_model=Locator(digest_of(2)),
    seal_key_hash=digest_of(3),
    watermark_root=digest_of(4),
    parent_model=ZERO_HASH,
)
CLAIM = Claim(total=9_000, predictions_root=digest_of(5), predictions=Locator(digest_of(6)))


def eip712_digest(message: SignableMessage) -> bytes:
    """keccak256(0x19 01 ‖ domain separator ‖ struct hash), from eth_account's own parts."""
    return keccak(b"\x19" + message.version + message.header + message.body)


def proof_typed_data(proof: TrainingProof, chain_id: int) -> dict[str, Any]:
    """The TrainingProof message as eth_account wants it, written out by hand from P-31."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "TrainingProof": [
                {"name": "taskId", "type": "uint256"},
                {"name": "round", "type": "uint16"},
                {"name": "miner", "type": "address"},
                {"name": "modelHash", "type": "bytes32"},
                {"name": "sealedModel", "type": "bytes32"},
                {"name": "sealKeyHash", "type": "bytes32"},
                {"name": "watermarkRoot", "type": "bytes32"},
                {"name": "parentModel", "type": "bytes32"},
            ],
        },
        "primaryType": "TrainingProof",
        "domain": {"name": "DLBC", "version": "1", "chainId": chain_id, "verifyingContract": MARKET},
        "message": {
            "taskId": proof.task_id,
            "round": proof.round,
            "miner": proof.miner,
            "modelHash": proof.model_hash,
            "sealedModel": proof.sealed_model,
            "sealKeyHash": proof.seal_key_hash,
            "watermarkRoot": proof.watermark_root,
            "parentModel": proof.parent_model,
        },
    }


@given(
    task_id=st.integers(0, 2**256 - 1),
    round_=st.integers(0, 2**16 - 1),
    model_hash=st.binary(min_size=32, max_size=32),
    chain_id=st.integers(1, 2**64 - 1),
)
def test_proof_digest__any_proof__is_its_eip712_digest(
    task_id: int, round_: int, model_hash: bytes, chain_id: int
) -> None:
    """The proof digest is the EIP-712 digest that a wallet would compute (P-31)."""
    proof = replace(PROOF, task_id=TaskId(task_id), round=round_, model_hash=Hash32(model_hash))

    expected = encode_typed_data(full_message=proof_typed_data(proof, chain_id))

    assert expected.header == proofs.domain_separator(chain_id, MARKET)
    assert eip712_digest(expected) == proofs.proof_digest(proof, chain_id, MARKET)


@given(total=st.integers(0, 2**64 - 1), chain_id=st.integers(1, 2**64 - 1))
def test_score_claim__typed_data_and_digest__agree(total: int, chain_id: int) -> None:
    """The message that is signed and the digest that the contract recovers from are the same (P-41)."""
    claim = replace(CLAIM, total=total)
    digest = proofs.proof_digest(PROOF, chain_id, MARKET)

    typed = proofs.score_claim_typed_data(digest, claim, chain_id, MARKET)

    expected = eip712_digest(encode_typed_data(full_message=typed))
    assert expected == proofs.score_claim_digest(digest, claim, chain_id, MARKET)


def test_score_claim__signed__recovers_the_miner() -> None:
    """A signature over the typed data recovers to the account that made it."""
    account = Account.from_key(digest_of(42))
    typed = proofs.score_claim_typed_data(digest_of(1), CLAIM, 31337, MARKET)

    signature = account.sign_typed_data(full_message=typed).signature

    assert account.address == Account.recover_message(encode_typed_data(full_message=typed), signature=signature)


def test_miner_secrets_typed_data__any_wallet__can_sign_it_and_it_survives_json() -> None:
    """The message is what P-32 says, plain JSON, and its warning tells never to sign it elsewhere."""
    typed = proofs.miner_secrets_typed_data(TaskId(7), 1, 2, 31337, MARKET)
    account = Account.from_key(digest_of(42))

    first = account.sign_typed_data(full_message=typed).signature
    second = account.sign_typed_data(full_message=json.loads(json.dumps(typed))).signature

    assert first == second
    assert [(field["type"], field["name"]) for field in typed["types"]["MinerSecrets"]] == [
        ("uint256", "taskId"),
        ("uint16", "round"),
        ("uint32", "attempt"),
        ("string", "warning"),
    ]
    assert "never" in typed["message"]["warning"]


@pytest.mark.parametrize(
    "other",
    [
        proofs.miner_secrets_typed_data(TaskId(8), 1, 2, 31337, MARKET),
        proofs.miner_secrets_typed_data(TaskId(7), 2, 2, 31337, MARKET),
        proofs.miner_secrets_typed_data(TaskId(7), 1, 3, 31337, MARKET),
        proofs.miner_secrets_typed_data(TaskId(7), 1, 2, 1, MARKET),
        proofs.miner_secrets_typed_data(TaskId(7), 1, 2, 31337, MINER),
    ],
)
def test_miner_secrets_typed_data__anything_differs__another_message(other: dict[str, Any]) -> None:
    """No two attempts, rounds, tasks, chains or markets share their secrets."""
    ours = encode_typed_data(full_message=proofs.miner_secrets_typed_data(TaskId(7), 1, 2, 31337, MARKET))

    assert eip712_digest(ours) != eip712_digest(encode_typed_data(full_message=other))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_id", 8),
        ("round", 2),
        ("miner", MARKET),
        ("model_hash", digest_of(9)),
        ("sealed_model", digest_of(9)),
        ("seal_key_hash", digest_of(9)),
        ("watermark_root", digest_of(9)),
        ("parent_model", digest_of(9)),
    ],
)
def test_proof_digest__one_member_changed__differs(name: str, value: Any) -> None:
    """The signed proof binds every member."""
    changed = replace(PROOF, **{name: value})

    assert proofs.proof_digest(PROOF, 1, MARKET) != proofs.proof_digest(changed, 1, MARKET)


def test_commitment_and_claim_hash__abi_words__agree_with_eth_abi() -> None:
    """P-31's commitment and the claim hash are keccak256 of abi.encode."""
    digest, salt = digest_of(1), digest_of(2)

    assert keccak(encode(["bytes32"] * 2, [digest, salt])) == proofs.commitment(digest, salt)
    assert keccak(encode(["bytes32", "uint64", "bytes32", "bytes32"], [digest, *astuple(CLAIM)])) == proofs.claim_hash(
        digest, CLAIM
    )


def test_terms_hash__struct_and_commitments__agree_with_eth_abi() -> None:
    """termsHash is H(Terms as abi.encode gives it, keccak256 of the packed commitments) (P-11)."""
    workload = Workload(1, 2, 3, 4, 5, 6)
    terms = Terms(
        digest_of(1), Locator(digest_of(2)), workload, *range(7, 15), Wei(15), Wei(16), Wei(17), royalty_bps=18
    )
    commitments = [digest_of(20), digest_of(21)]
    struct = "(bytes32,bytes32,(uint64,uint64,uint64,uint32,uint64,uint64)" + ",uint32" * 8 + ",uint96" * 3 + ",uint16)"
    values = (terms.manifest_hash, terms.manifest, astuple(workload), *range(7, 19))

    expected = keccak(encode([struct, "bytes32"], [values, keccak(b"".join(commitments))]))

    assert expected == proofs.terms_hash(terms, commitments)
    assert expected != proofs.terms_hash(terms, commitments[::-1])


def test_terms_hash__commitment_not_32_bytes__refused() -> None:
    """Packed commitments of other lengths could be shifted into one another."""
    terms = Terms(ZERO_HASH, Locator(ZERO_HASH), Workload(1, 1, 1, 1, 1, 1), *([1] * 8), *([Wei(1)] * 3), royalty_bps=0)

    with pytest.raises(BadInput, match="32 bytes"):
        proofs.terms_hash(terms, [Hash32(bytes(31))])


def test_test_commitment__eight_words__agree_with_eth_abi() -> None:
    """The test commitment is H of the preimage's members in order (P-13)."""
    test_set = TestSet(Locator(digest_of(1)), digest_of(2), digest_of(3), 4, 5, 6, 7, digest_of(8))
    types = ["bytes32"] * 3 + ["uint40", "uint32", "uint32", "uint16", "bytes32"]

    assert keccak(encode(types, list(astuple(test_set)))) == proofs.test_commitment(test_set)


def test_key_hash__32_bytes_or_not__hashed_or_refused() -> None:
    """A key's hash is keccak256 of exactly 32 bytes."""
    assert keccak(bytes(32)) == proofs.key_hash(bytes(32))
    with pytest.raises(BadInput, match="found 31"):
        proofs.key_hash(bytes(31))


VOTER = MINER
CAST = (Verdict.STANDS, Verdict.FALLS, Verdict.UNAVAILABLE)


def test_case_and_dispute_ids__abi_words__agree_with_eth_abi() -> None:
    """P-54: a case is named by task, round and subject; a repeated vote has another id."""
    case = proofs.case_id(TaskId(7), 2, MINER)

    assert keccak(encode(["uint256", "uint16", "address"], [7, 2, MINER])) == case
    assert keccak(encode(["bytes32", "uint8"], [case, 1])) == proofs.dispute_id(case, 1)
    assert proofs.dispute_id(case, 0) != proofs.dispute_id(case, 1)
    assert proofs.case_id(TaskId(7), 2, ZERO_ADDRESS) != case


@pytest.mark.parametrize("verdict", CAST)
def test_ballot__every_verdict__sealed_and_opened_as_the_pool_stores_it(verdict: Verdict) -> None:
    """P-54: H(pool, disputeId, voter, verdict, salt), stored under its lock; once opened, lock and verdict."""
    ballot = proofs.ballot_hash(MARKET, digest_of(8), VOTER, verdict, digest_of(9))
    types = ["address", "bytes32", "address", "uint8", "bytes32"]
    lock = 10**17 + 1

    assert keccak(encode(types, [MARKET, digest_of(8), VOTER, int(verdict), digest_of(9)])) == ballot
    assert keccak(encode(["bytes32", "uint256"], [ballot, lock])) == proofs.sealed_ballot(ballot, lock)
    assert proofs.opened_ballot(verdict, lock) == digest_of(lock * 256 + verdict)


@pytest.mark.parametrize("verdict", CAST)
def test_find_verdict__salt_of_the_ballot__the_verdict_it_was_cast_for(verdict: Verdict) -> None:
    """A lost disk loses no ballot: with the salt from the wallet there are three verdicts to try."""
    ballot = proofs.ballot_hash(MARKET, digest_of(8), VOTER, verdict, digest_of(9))

    assert proofs.find_verdict(ballot, MARKET, digest_of(8), VOTER, digest_of(9)) is verdict
    assert proofs.find_verdict(ballot, MARKET, digest_of(8), VOTER, digest_of(10)) is None
    assert proofs.find_verdict(ballot, MARKET, digest_of(7), VOTER, digest_of(9)) is None


def test_ballot_secret_typed_data__any_wallet__can_sign_it_and_it_differs_a_vote() -> None:
    """The message is complete and JSON-ready, names the vote, and warns."""
    typed = proofs.ballot_secret_typed_data(digest_of(8), 31337, MARKET)
    other = proofs.ballot_secret_typed_data(digest_of(9), 31337, MARKET)
    account = Account.from_key(b"\x01" * 32)

    assert typed == json.loads(json.dumps(typed))
    assert "never anywhere else" in typed["message"]["warning"]
    signature = account.sign_typed_data(full_message=typed).signature
    assert account.address == Account.recover_message(encode_typed_data(full_message=typed), signature=signature)
    assert signature == account.sign_typed_data(full_message=typed).signature
    assert signature != account.sign_typed_data(full_message=other).signature


def test_block_hash__all_members_in_order__agrees_with_eth_abi() -> None:
    """A block's hash is H of its fourteen members (P-70)."""
    header = BlockHeader(
        1, 2, digest_of(3), TaskId(4), 5, digest_of(6), digest_of(7), MINER, 9, 10, 11, 12, Timestamp(13), 14
    )
    types = "uint16 uint64 bytes32 uint256 uint16 bytes32 bytes32 address uint64 uint32 uint64 uint128 uint40 uint32"

    assert keccak(encode(types.split(), list(astuple(header)))) == proofs.block_hash(header)


def test_genesis_hash__chain_and_registry__agrees_with_eth_abi() -> None:
    """Block 0 links to H("DLBC", chainId, registry)."""
    expected = keccak(encode(["bytes32", "uint256", "address"], [b"DLBC".ljust(32, b"\0"), 31337, MARKET]))

    assert expected == proofs.genesis_hash(31337, MARKET)


# ---------------------------------------------------------------- slots


@given(data=st.data(), count=st.sampled_from([2, 4, 8]))
def test_slot_path__every_slot__verifies_only_as_itself(data: st.DataObject, count: int) -> None:
    """Each key verifies at its own index under the root, and nowhere else (P-90)."""
    keys = data.draw(st.lists(st.binary(min_size=32, max_size=32), min_size=count, max_size=count, unique=True))
    root = proofs.slot_root(keys)

    for index, key in enumerate(keys):
        path = proofs.slot_path(keys, index)
        accepted = [i for i in range(-1, 2 * count) if proofs.verify_slot_path(key, i, path, root)]
        assert [index] == accepted


def test_slot_root__two_keys__is_the_hash_written_in_the_protocol() -> None:
    """leaf = keccak256(0x00 ‖ key ‖ uint32 k), node = keccak256(0x01 ‖ left ‖ right)."""
    keys = [b"a" * 32, b"b" * 32]
    leaves = [keccak(b"\0" + key + bytes([0, 0, 0, k])) for k, key in enumerate(keys)]

    assert keccak(b"\1" + leaves[0] + leaves[1]) == proofs.slot_root(keys)
    assert (leaves[1],) == proofs.slot_path(keys, 0)


def test_verify_slot_path__inner_node_posing_as_a_key__rejected() -> None:
    """Leaves and nodes are hashed apart, so a shortened path proves nothing."""
    keys = [bytes([k]) * 32 for k in range(4)]
    path = proofs.slot_path(keys, 0)
    inner = keccak(b"\1" + keccak(b"\0" + keys[0] + bytes(4)) + path[0])

    assert not proofs.verify_slot_path(inner, 0, path[1:], proofs.slot_root(keys))


@pytest.mark.parametrize("path", [(), (bytes(31),), (bytes(32),) * 4])
def test_verify_slot_path__malformed_path__false_without_an_error(path: tuple[Hash32, ...]) -> None:
    """Paths from strangers never raise."""
    assert not proofs.verify_slot_path(bytes(32), 0, path, ZERO_HASH)


@pytest.mark.parametrize("keys", [[], [bytes(32)], [bytes(32)] * 3, [bytes(32)] * 16, [bytes(32), bytes(31)]])
def test_slot_root__wrong_number_or_length__refused(keys: list[bytes]) -> None:
    """Only 2, 4 or 8 keys of 32 bytes make a tree."""
    with pytest.raises(BadInput, match="slot keys"):
        proofs.slot_root(keys)


@pytest.mark.parametrize("index", [-1, 2])
def test_slot_path__no_such_slot__refused(index: int) -> None:
    """A path exists only for a slot of the tree."""
    with pytest.raises(BadInput, match="expected 0 to 1"):
        proofs.slot_path([bytes(32), bytes(32)], index)
