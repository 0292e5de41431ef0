// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Verdict} from "../types/Task.sol";

/// @title BallotLib
/// @notice Names of cases and votes, and what is stored of a ballot: the hash of its seal and lock, then what it says
/// (P-54). Every hash is keccak256 of abi.encode of static words.
library BallotLib {
    uint256 private constant VERDICT_BITS = 8;
    /// @dev Verdict and a lock of 96 bits.
    uint256 private constant OPENED_BITS = 104;

    /// @param subject the miner whose claim is disputed; zero = the test set
    function caseId(uint256 taskId, uint256 round, address subject) internal pure returns (bytes32) {
        return keccak256(abi.encode(taskId, round, subject));
    }

    /// @dev A repeated vote has an id of its own, so no ballot of the first counts in it.
    function disputeId(bytes32 caseId_, uint256 attempt) internal pure returns (bytes32) {
        return keccak256(abi.encode(caseId_, attempt));
    }

    /// @dev Bound to the voter: whoever copies it cannot open it.
    function ballot(address pool, bytes32 disputeId_, address voter, Verdict verdict, bytes32 salt)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(pool, disputeId_, voter, verdict, salt));
    }

    function seal(bytes32 ballot_, uint256 lockWei) internal pure returns (bytes32) {
        return keccak256(abi.encode(ballot_, lockWei));
    }

    /// @param lockWei fits uint96
    function pack(Verdict verdict, uint256 lockWei) internal pure returns (bytes32) {
        return bytes32(lockWei << VERDICT_BITS | uint256(verdict));
    }

    /// @return verdict None, and lockWei zero, unless this is an opened ballot. A seal is none: that 152 bits of a hash
    /// are zero does not happen.
    function unpack(bytes32 stored) internal pure returns (Verdict verdict, uint256 lockWei) {
        uint256 word = uint256(stored);
        if (word >> OPENED_BITS != 0) return (Verdict.None, 0);
        return (Verdict(uint8(word)), word >> VERDICT_BITS);
    }
}
