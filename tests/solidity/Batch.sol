// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Batch
/// @dev Many calls of one contract in one eth_call, for differential tests from Python.
contract Batch {
    /// @return hasSucceeded of each call
    /// @return answers what each returned, or how it reverted
    function run(address target, bytes[] calldata calls)
        external
        view
        returns (bool[] memory hasSucceeded, bytes[] memory answers)
    {
        hasSucceeded = new bool[](calls.length);
        answers = new bytes[](calls.length);
        for (uint256 i; i < calls.length; ++i) {
            (hasSucceeded[i], answers[i]) = target.staticcall(calls[i]);
        }
    }
}
