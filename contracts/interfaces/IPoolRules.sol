// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ClaimRef, Fault, LabelProof, PredictionLeaf, SumNode} from "../types/Task.sol";

/// @title IPoolRules
/// @notice What may be disputed, and what claims and paths of prediction trees prove, by the facts that the market
/// stores. Immutable and stateless.
interface IPoolRules {
    /// @notice The bond of a dispute or an impeachment; zero if there is no such task.
    function bondOf(uint256 taskId) external view returns (uint256 bondWei);

    /// @notice What the task's current round votes on; reverts if that is nothing.
    /// @return caseId of it
    /// @return defendant who is wronged if the dispute is: the leader, or the requester whose test set it is
    /// @return bondWei of each filer
    function disputed(uint256 taskId) external view returns (bytes32 caseId, address defendant, uint256 bondWei);

    /// @notice The fault that a path proves, or None (M-6). Reverts unless this is a revealed claim and the path leads
    /// to the top of its tree; and, if the path is sound and a label is given, unless that is the committed one.
    function faultOf(
        ClaimRef calldata ref,
        uint256 index,
        PredictionLeaf calldata leaf,
        SumNode[] calldata path,
        LabelProof calldata label
    ) external view returns (Fault);

    /// @notice Reverts unless this is a revealed claim that has such a sample (M-7).
    function checkDemand(ClaimRef calldata ref, uint256 index) external view;

    /// @notice Reverts unless this is a revealed claim and the path leads to the top of its tree (M-7). A fault on the
    /// path is no reason to refuse it: once it is shown, anyone can refute it.
    function checkAnswer(ClaimRef calldata ref, uint256 index, PredictionLeaf calldata leaf, SumNode[] calldata path)
        external
        view;
}
