// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Phase} from "../types/Task.sol";

/// @title Errors
/// @notice Every custom error: `Contract_Reason(given, limit)`. The client turns each into one sentence.
library Errors {
    // posting (P-12)
    error Market_BelowMinimum(bytes32 term, uint256 given, uint256 minimum);
    error Market_AboveMaximum(bytes32 term, uint256 given, uint256 maximum);
    error Market_WrongValue(uint256 given, uint256 expected);
    // any call on a task
    error Market_UnknownTask(uint256 taskId);
    error Market_WrongPhase(Phase given, bool due, Phase expected);
    error Market_NothingDue(uint256 taskId, Phase phase, uint256 endsAt);
    error Market_WrongRound(uint256 given, uint256 current);
    error Market_NotRequester(address given, address requester);
    error Market_AlreadyCommitted(uint256 taskId, uint256 commits);
    error Market_WrongTerms(bytes32 given, bytes32 expected);
    error Market_EmptyCommitment();
    // release, reveal, nominate, open
    error Market_WrongTestSet(bytes32 given, bytes32 expected);
    error Market_WrongTestKey(bytes32 given, bytes32 expected);
    error Market_TooEarly(uint256 given, uint256 earliest);
    error Market_NoEntry(address miner);
    error Market_AlreadyRevealed(address miner);
    error Market_WrongCommitment(bytes32 given, bytes32 expected);
    error Market_WrongPredictionsRoot(bytes32 given, bytes32 expected);
    error Market_TotalTooHigh(uint256 given, uint256 maximum);
    error Market_WrongSigner(address given, address expected);
    error Market_MalformedSignature(uint256 length);
    error Market_NotQualified(address miner);
    error Market_NotBetter(address miner, address leader);
    error Market_NotLeader(address given, address leader);
    error Market_WrongClaim(bytes32 given, bytes32 expected);
    error Market_WrongSealKey(bytes32 given, bytes32 expected);
    error Market_WrongSlotPath(bytes32 given, bytes32 expected);
    // money
    error Market_NothingToReclaim(address miner);
    /// @dev until = 0: until the round is cold
    error Market_DepositLocked(address miner, uint256 until);
    error Ledger_NothingToWithdraw(address account);
    error Ledger_TransferFailed(address to, uint256 amountWei);
    error Ledger_AmountTooLarge(uint256 given, uint256 maximum);
    error Market_ZeroAddress();
    // what only the pool may do, and what it asks for
    error Market_NotPool(address given, address pool);
    error Market_NotStrikable(address miner);
    error Market_TooManyDemands(uint256 maximum);
    // stakes
    error Pool_NotMarket(address given, address market);
    error Pool_ZeroAmount();
    error Pool_NothingPending(address auditor);
    error Pool_NotReady(uint256 given, uint256 readyAt);
    error Pool_TooLittleStake(uint256 given, uint256 available);
    error Pool_NothingUnbonding(address auditor);
    error Pool_NothingAccrued(address auditor);
    // disputes and votes
    error Pool_WrongValue(uint256 given, uint256 expected);
    error Pool_WrongGrounds(uint256 given, uint256 maximum);
    error Pool_WrongSamples(uint256 given, uint256 minimum, uint256 maximum);
    error Pool_AlreadyFiled(address filer);
    error Pool_UnknownCase(bytes32 caseId);
    error Pool_NotInWindow(uint256 given, uint256 start, uint256 end);
    error Pool_NoWeight(address voter, uint256 snapshotWei, uint256 activeWei);
    error Pool_AlreadyVoted(address voter);
    error Pool_WrongBallot(bytes32 given, bytes32 expected);
    error Pool_EmptyBallot();
    error Pool_WrongVerdict(uint256 given);
    error Pool_AlreadyResolved(bytes32 caseId);
    error Pool_NothingDisputed(uint256 taskId);
    error Pool_NotResolved(bytes32 caseId);
    error Pool_NothingToCollect(address account);
    // refutations and demands
    error Claim_NotRevealed(bytes32 given, bytes32 expected);
    error Claim_WrongTop(bytes32 given, bytes32 expected);
    error Claim_WrongPathLength(uint256 given, uint256 expected);
    error Claim_IndexOutOfRange(uint256 given, uint256 limit);
    error Claim_WrongPath(bytes32 given, bytes32 expected);
    error Claim_WrongLabelPath(bytes32 given, bytes32 expected);
    error Claim_NoFault();
    error Claim_AlreadyDemanded(uint256 index);
    error Claim_NotDemanded(uint256 index);
    error Claim_StillOpen(uint256 index);
    // difficulty
    error Difficulty_TooLarge(uint256 given, uint256 maximum);
    error Difficulty_ZeroDivisor();
    // deployment
    error Params_OutOfBounds(bytes32 parameter, uint256 given, uint256 minimum, uint256 maximum);
    // registry
    error Registry_NotMarket(address given, address market);
    error Registry_UnknownBlock(uint256 given, uint256 height);
    error Registry_UnknownModel(bytes32 modelHash);
    error Registry_SlotOutOfRange(uint256 given, uint256 limit);
    error Registry_WrongSlotPath(bytes32 given, bytes32 expected);
    /// @dev commitSeq = 0: by the opening of its model
    error Registry_SlotAlreadyRevealed(bytes32 modelHash, uint256 slot, uint256 commitSeq);
}
