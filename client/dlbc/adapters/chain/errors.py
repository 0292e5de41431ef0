"""What a contract says when it refuses, as one sentence: what was given, what the limit is, what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dlbc.adapters.chain import abi, codec
from dlbc.core.errors import ContractRefused
from dlbc.core.types import ZERO_ADDRESS, Phase
from dlbc.core.units import format_amount, format_duration

ERROR_STRING = bytes.fromhex("08c379a0")
PANIC = bytes.fromhex("4e487b71")

Arguments = Mapping[str, Any]


def refusal(call: str, data: bytes, message: str = "") -> ContractRefused:
    """The error for revert data of `call`; `message` is what the node said, used if the data says nothing."""
    error = abi.load("Errors").errors.get(data[:4])
    if error is not None:
        try:
            values = codec.decode(error.inputs, data[4:])
        except codec.Undecodable:
            return ContractRefused(
                f"{call}: the market refused with a malformed {error.name}; check the market address"
            )
        arguments = {codec.snake(item["name"]): value for item, value in zip(error.inputs, values, strict=True)}
        return ContractRefused(f"{call}: {SENTENCES[error.name](arguments)}", name=error.name, args=arguments)
    return ContractRefused(f"{call}: {_unnamed(data, message)}")


def _unnamed(data: bytes, message: str) -> str:
    """A revert that is none of our errors."""
    try:
        if data[:4] == ERROR_STRING:
            return f"the contract refused: {codec.decode([{'type': 'string'}], data[4:])[0][:200]!r}"
        if data[:4] == PANIC:
            code = codec.decode([{"type": "uint256"}], data[4:])[0]
            return f"the contract panicked with code {code:#x}; check the market address, then report this"
    except codec.Undecodable:
        pass
    if data:
        return f"the contract refused with the unknown error 0x{data[:4].hex()}; check the market address"
    said = " ".join(message.split())[:200] or "no reason given"
    return f"the contract refused without a reason ({said}); check the market address"


def _term(name: bytes) -> str:
    """The name of a term or parameter, as the contracts pack it into 32 bytes."""
    return name.rstrip(b"\0").decode("ascii", "replace")


def _amount(name: str, value: int) -> str:
    """A value of a term, in ether where the name says wei."""
    return format_amount(value) if name.lower().endswith("wei") else str(value)


def _below(given: Arguments) -> str:
    term = _term(given["term"])
    least = _amount(term, given["minimum"])
    return f"{term} is {_amount(term, given['given'])}, the minimum is {least}; raise it"


def _above(given: Arguments) -> str:
    term = _term(given["term"])
    most = _amount(term, given["maximum"])
    return f"{term} is {_amount(term, given['given'])}, the maximum is {most}; lower it"


def _wrong_phase(given: Arguments) -> str:
    phase, expected = given["given"], given["expected"]
    if phase is Phase.NONE:
        return "there is no such task; check the task number with `dlbc task list`"
    if given["due"]:
        return (
            f"this needs the phase {expected.label}, but {phase.label} is over and its end not written yet; "
            "advance the task, then look at its phase again"
        )
    what = "the task is final" if phase.is_cold else f"wait for {expected.label} or give it up"
    return f"this needs the phase {expected.label}, the task is in {phase.label}; {what}"


def _not_leader(given: Arguments) -> str:
    leader = "nobody leads" if given["leader"] == ZERO_ADDRESS else f"the leader is {given['leader']}"
    return f"this needs the leading claim: {leader}, the claim given is {given['given']}'s"


def _params(given: Arguments) -> str:
    name = _term(given["parameter"])
    return f"parameter {name} is {given['given']}, allowed is {given['minimum']} to {given['maximum']}; change it"


def _span(least: int, most: int) -> str:
    return f"{least} to {most}" if least != most else "none" if most == 0 else str(most)


def _not_in_window(given: Arguments) -> str:
    now, start, end = given["given"], given["start"], given["end"]
    if now < start:
        return f"it is {now}, this is possible from {start} to {end}; wait {format_duration(start - now)}"
    return f"it is {now}, this was possible from {start} to {end}; it is too late for this vote"


def _differs(what: str, todo: str) -> Callable[[Arguments], str]:
    def sentence(given: Arguments) -> str:
        return f"{what} is 0x{given['given'].hex()}, the chain expects 0x{given['expected'].hex()}; {todo}"

    return sentence


SENTENCES: dict[str, Callable[[Arguments], str]] = {
    # posting
    "Market_BelowMinimum": _below,
    "Market_AboveMaximum": _above,
    "Market_WrongValue": lambda given: (
        f"{format_amount(given['given'])} was sent, exactly {format_amount(given['expected'])} is expected; send that"
    ),
    # any call on a task
    "Market_UnknownTask": lambda given: (
        f"there is no task {given['task_id']}; check the task number with `dlbc task list`"
    ),
    "Market_WrongPhase": _wrong_phase,
    "Market_NothingDue": lambda given: (
        f"task {given['task_id']} is in {given['phase'].label}"
        + (f" until {given['ends_at']}" if given["ends_at"] else "")
        + "; there is nothing to advance yet"
        if not given["phase"].is_cold
        else f"task {given['task_id']} is {given['phase'].label}, which is final; there is nothing to advance"
    ),
    "Market_WrongRound": lambda given: (
        f"round {given['given']} was given, the task is in round {given['current']}; use that round"
    ),
    "Market_NotRequester": lambda given: (
        f"only the requester {given['requester']} may do this, the account is {given['given']}; use its account"
    ),
    "Market_AlreadyCommitted": lambda given: (
        f"task {given['task_id']} already has {given['commits']} commits, so it can't be cancelled; let it end"
    ),
    "Market_WrongTerms": _differs("the terms hash", "a reorganisation may have moved the task: read its terms again"),
    "Market_EmptyCommitment": lambda _: "the commitment is zero; commit to H(proofDigest, salt)",
    # release, reveal, nominate, open
    "Market_WrongTestSet": _differs("the test set's hash", "release exactly the test set that was posted"),
    "Market_WrongTestKey": _differs("the test key's hash", "release the key the test set was sealed with"),
    "Market_TooEarly": lambda given: (
        f"it is {given['given']}, this is possible from {given['earliest']} on; wait "
        f"{max(0, given['earliest'] - given['given'])} s"
    ),
    "Market_NoEntry": lambda given: f"{given['miner']} has no commit in this round; check the miner's address",
    "Market_AlreadyRevealed": lambda given: (
        f"{given['miner']} has already revealed in this round; nothing is left to do"
    ),
    "Market_WrongCommitment": _differs("the commitment of this proof and salt", "reveal the last proof committed to"),
    "Market_WrongPredictionsRoot": _differs("the claim's predictions root", "rebuild the claim from its predictions"),
    "Market_TotalTooHigh": lambda given: (
        f"the claimed total is {given['given']}, the test set allows at most {given['maximum']}; score the model again"
    ),
    "Market_WrongSigner": lambda given: (
        f"the claim is signed by {given['given']}, expected is the miner {given['expected']}; sign with its account"
    ),
    "Market_MalformedSignature": lambda given: (
        f"a signature has 65 bytes r, s, v with low s, v 27 or 28, found {given['length']} others; sign again"
    ),
    "Market_NotQualified": lambda given: (
        f"{given['miner']} has no unstruck qualifying claim in this round; nominate another miner"
    ),
    "Market_NotBetter": lambda given: (
        f"the claim of {given['miner']} does not beat that of the leader {given['leader']}; nothing is left to do"
    ),
    "Market_NotLeader": _not_leader,
    "Market_WrongClaim": _differs("the hash of this proof and claim", "open exactly what was revealed"),
    "Market_WrongSealKey": _differs("the sealing key's hash", "open with the key the model was sealed with"),
    "Market_WrongSlotPath": _differs(
        "the watermark root of this slot key and path", "open with slot 0 of the same tree"
    ),
    # money
    "Market_NothingToReclaim": lambda given: (
        f"{given['miner']} has no deposit to reclaim in this round; it was never paid, is back already, or is lost"
    ),
    "Market_DepositLocked": lambda given: (
        f"the deposit of {given['miner']} is locked "
        + (f"until {given['until']}" if given["until"] else "until the round is cold")
        + "; reclaim it then"
    ),
    "Ledger_NothingToWithdraw": lambda given: f"{given['account']} has no credit; nothing is left to withdraw",
    "Ledger_TransferFailed": lambda given: (
        f"{given['to']} does not accept {format_amount(given['amount_wei'])}; withdraw to another address"
    ),
    "Market_ZeroAddress": lambda _: "the zero address can't be used here; give a real one",
    "Ledger_AmountTooLarge": lambda given: (
        f"the amount is {format_amount(given['given'])}, the maximum is {format_amount(given['maximum'])}; use less"
    ),
    # what only the pool may do, and what it asks for
    "Market_NotPool": lambda given: (
        f"only the auditor pool {given['pool']} may do this, the account is {given['given']}; call the pool instead"
    ),
    "Market_NotStrikable": lambda given: (
        f"{given['miner']} has no unstruck qualifying claim in a running round; there is nothing to refute"
    ),
    "Market_TooManyDemands": lambda given: (
        f"{given['maximum']} demands against the leader are open, which is the maximum; wait for answers"
    ),
    # stakes
    "Pool_NotMarket": lambda given: (
        f"only the market {given['market']} pays into the pool, the account is {given['given']}; stake it instead"
    ),
    "Pool_ZeroAmount": lambda _: "the amount is zero; give one above zero",
    "Pool_NothingPending": lambda given: f"{given['auditor']} has no stake waiting to become active; stake first",
    "Pool_NotReady": lambda given: (
        f"it is {given['given']}, this is possible from {given['ready_at']} on; wait "
        f"{format_duration(max(0, given['ready_at'] - given['given']))}"
    ),
    "Pool_TooLittleStake": lambda given: (
        f"{format_amount(given['given'])} is asked for, the stake is {format_amount(given['available'])}; ask for less"
    ),
    "Pool_NothingUnbonding": lambda given: f"{given['auditor']} has no stake on its way out; unstake first",
    "Pool_NothingAccrued": lambda given: (
        f"no dividends have come to {given['auditor']} yet; wait for tasks to be settled, then collect fees"
    ),
    # disputes and votes
    "Pool_WrongValue": lambda given: (
        f"{format_amount(given['given'])} was sent, the bond is exactly {format_amount(given['expected'])}; send that"
    ),
    "Pool_WrongGrounds": lambda given: (
        f"the grounds are {given['given']}, allowed is a sum of different bits from 1 to {given['maximum']}; "
        "name at least one ground"
    ),
    "Pool_WrongSamples": lambda given: (
        f"{given['given']} samples are named, these grounds need {_span(given['minimum'], given['maximum'])}; "
        "name samples with the ground Samples, and only then"
    ),
    "Pool_AlreadyFiled": lambda given: f"{given['filer']} has filed this case already; nothing is left to do",
    "Pool_UnknownCase": lambda given: (
        f"there is no dispute or impeachment 0x{given['case_id'].hex()}; check the task, round and miner"
    ),
    "Pool_NotInWindow": _not_in_window,
    "Pool_NoWeight": lambda given: (
        f"{given['voter']} can't vote here: its stake was {format_amount(given['snapshot_wei'])} when weights were "
        f"fixed and is {format_amount(given['active_wei'])} now; both must be above zero, so stake for the next case"
    ),
    "Pool_AlreadyVoted": lambda given: (
        f"{given['voter']} has a ballot in this vote already; one is all it may cast, reveal that"
    ),
    "Pool_WrongBallot": _differs(
        "the ballot's hash", "reveal the verdict, lock and salt of the ballot that was committed"
    ),
    "Pool_EmptyBallot": lambda _: "the ballot is zero; commit to H(pool, disputeId, voter, verdict, salt)",
    "Pool_WrongVerdict": lambda given: (
        f"the verdict is {given['given']}, allowed is 1 Stands, 2 Falls or 3 Unavailable; reveal one of them"
    ),
    "Pool_AlreadyResolved": lambda given: (
        f"the case 0x{given['case_id'].hex()} has its ruling already; collect what is yours"
    ),
    "Pool_NothingDisputed": lambda given: (
        f"nothing of task {given['task_id']} is being voted on; there is nothing to resolve"
    ),
    "Pool_NotResolved": lambda given: (
        f"the vote in case 0x{given['case_id'].hex()} has no ruling yet; resolve it once its time is up"
    ),
    "Pool_NothingToCollect": lambda given: (
        f"{given['account']} has nothing to collect here; it never took part, lost, or has it already"
    ),
    # refutations and demands
    "Claim_NotRevealed": _differs("the hash of this proof and claim", "name a claim exactly as it was revealed"),
    "Claim_WrongTop": _differs(
        "the predictions root of this top hash", "use the top hash of the tree that the claim was revealed with"
    ),
    "Claim_WrongPathLength": lambda given: (
        f"the path has {given['given']} levels, a tree of this test set has {given['expected']}; give one a level"
    ),
    "Claim_IndexOutOfRange": lambda given: (
        f"index {given['given']} was given, it must be below {given['limit']}; choose another"
    ),
    "Claim_WrongPath": _differs("the top hash that the path leads to", "take leaf and path from the revealed tree"),
    "Claim_WrongLabelPath": _differs(
        "the label root that the path leads to", "take label and path from the released test set"
    ),
    "Claim_NoFault": lambda _: (
        "this leaf and path are as they should be, so they refute nothing; look for a faulty one with `dlbc audit`"
    ),
    "Claim_AlreadyDemanded": lambda given: (
        f"prediction {given['index']} of this claim is demanded already; wait for the answer"
    ),
    "Claim_NotDemanded": lambda given: (
        f"prediction {given['index']} of this claim is not demanded, or was answered; nothing is left to do"
    ),
    "Claim_StillOpen": lambda given: (
        f"the demand of prediction {given['index']} can still be answered, its claim is not struck; "
        "advance the task once the time to answer is up"
    ),
    # difficulty
    "Difficulty_TooLarge": lambda given: (
        f"a workload figure is {given['given']}, the maximum is {given['maximum']}; make the task smaller"
    ),
    "Difficulty_ZeroDivisor": lambda _: "a divisor of the difficulty is zero; check the workload",
    # deployment
    "Params_OutOfBounds": _params,
    # registry
    "Registry_NotMarket": lambda given: (
        f"only the market {given['market']} may write to the registry, the account is {given['given']}"
    ),
    "Registry_UnknownBlock": lambda given: (
        f"there is no block {given['given']}, the ledger has {given['height']} blocks; ask for an earlier one"
    ),
    "Registry_UnknownModel": lambda given: (
        f"the ledger has no settled model 0x{given['model_hash'].hex()}; only a settled model's slots can be revealed"
    ),
    "Registry_SlotOutOfRange": lambda given: (
        f"slot {given['given']} was given, such a path proves slots below {given['limit']}; use the slot's own path"
    ),
    "Registry_WrongSlotPath": _differs(
        "the watermark root of this slot key and path", "reveal a slot of the tree that the model was committed with"
    ),
    "Registry_SlotAlreadyRevealed": lambda given: (
        f"slot {given['slot']} of model 0x{given['model_hash'].hex()} is revealed already, "
        + (f"after commit {given['commit_seq']}" if given["commit_seq"] else "by the opening of the model")
        + "; its key is in the log"
    ),
}
