// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim, Params, Terms, TestSet, Workload} from "../types/Task.sol";

/// @title IMarketRules
/// @notice What a market was deployed with: its parameters, the bounds of terms, the difficulty of a workload. And the
/// checks of what it is given that need none of its storage. Immutable and stateless.
interface IMarketRules {
    /// @notice Reverts with the term, the given value and the limit unless every term is within its bounds (P-12).
    /// @param rounds number of test commitments
    /// @param queue tasks not yet cold, the new one included
    /// @return difficulty fixed for the task; never zero
    function admit(Terms calldata terms, uint256 rounds, uint256 queue) external view returns (uint64 difficulty);

    /// @notice Difficulty of a workload behind such a queue (P-80).
    function difficultyOf(Workload calldata workload, uint256 queue) external view returns (uint64);

    /// @notice Reverts unless this is the preimage of the commitment, within its bounds, and this its key (P-40).
    function checkTestSet(TestSet calldata testSet, bytes32 testKey, bytes32 commitment) external pure;

    /// @notice Reverts unless the claim is possible, bound to the proof and signed by the miner (P-41).
    /// @param separator EIP-712 domain separator of the market
    function checkClaim(
        bytes32 separator,
        bytes32 proofDigest,
        Claim calldata claim,
        bytes32 hTop,
        uint256 samples,
        uint256 maxSampleScore,
        address miner,
        bytes calldata signature
    ) external view;

    function params() external view returns (Params memory);
}
