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
    error Market_NothingToWithdraw(address account);
    error Market_TransferFailed(address to, uint256 amountWei);
    error Market_ZeroAddress();
    error Market_AmountTooLarge(uint256 given, uint256 maximum);
    // difficulty
    error Difficulty_TooLarge(uint256 given, uint256 maximum);
    error Difficulty_ZeroDivisor();
    // deployment
    error Params_OutOfBounds(bytes32 parameter, uint256 given, uint256 minimum, uint256 maximum);
    // registry
    error Registry_NotMarket(address given, address market);
    error Registry_UnknownBlock(uint256 given, uint256 height);
}
