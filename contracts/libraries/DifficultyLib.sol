// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Workload} from "../types/Task.sol";
import {Errors} from "./Errors.sol";

/// @title DifficultyLib
/// @notice Workload and queue to difficulty, bounty and age to rank (P-80, P-81), in fixed point. The algorithm is
/// normative: client/dlbc/core/difficulty.py gives the same digits.
library DifficultyLib {
    uint256 internal constant PPM = 1e6;
    uint256 private constant COMPLEXITY_UNIT = 1e9;
    uint256 private constant BYTES_UNIT = 2 ** 20;
    uint256 private constant OPERAND_LIMIT = 2 ** 160;

    /// @param weightComplexity share of the factor in ppm, like the other three; they sum to PPM
    /// @param queue tasks not yet cold, the new one included
    /// @return difficulty in millionths of a bit, rounded down once
    function difficultyDown(
        uint256 weightComplexity,
        uint256 weightNetwork,
        uint256 weightData,
        uint256 weightQueue,
        Workload calldata workload,
        uint256 queue
    ) internal pure returns (uint64) {
        uint256 training = 3 * uint256(workload.flopsPerSample) * workload.samples * workload.epochs;
        uint256 transfer = uint256(workload.dataBytes) + 2 * uint256(workload.modelBytes);
        uint256 sum = weightComplexity * log2Down(training, COMPLEXITY_UNIT);
        sum += weightNetwork * log2Down(transfer, BYTES_UNIT);
        sum += weightData * log2Down(workload.dataBytes, BYTES_UNIT);
        sum += weightQueue * log2Down(queue, 1);
        // log2Down < 161e6 and the weights sum to 1e6, so the quotient is < 2^28
        return uint64(sum / PPM);
    }

    /// @notice log2(1 + n/d) in millionths of a bit, rounded down.
    /// @param n below 2^160
    /// @param d from 1 to 2^160 - 1
    function log2Down(uint256 n, uint256 d) internal pure returns (uint256) {
        if (n >= OPERAND_LIMIT) revert Errors.Difficulty_TooLarge(n, OPERAND_LIMIT - 1);
        if (d >= OPERAND_LIMIT) revert Errors.Difficulty_TooLarge(d, OPERAND_LIMIT - 1);
        if (d == 0) revert Errors.Difficulty_ZeroDivisor();
        // Proof for the whole block: n + d < 2^161, so the shift stays below 2^225 and v is in [2^64, 2^225); its
        // msb is in [64, 224], hence both differences are >= 0. Before each squaring 2^127 <= m < 2^128, so m * m <
        // 2^256 and m * m >> 127 is in [2^127, 2^129); the halving restores the range. fraction < 2^32 after 32
        // doublings. (160 * 2^32 + 2^32) * 1e6 < 2^60.
        unchecked {
            uint256 v = ((n + d) << 64) / d;
            uint256 msb = mostSignificantBit(v);
            uint256 m = msb > 127 ? v >> (msb - 127) : v << (127 - msb);
            uint256 fraction;
            for (uint256 i; i < 32; ++i) {
                m = (m * m) >> 127;
                fraction <<= 1;
                if (m >= 2 ** 128) {
                    m >>= 1;
                    fraction |= 1;
                }
            }
            return ((((msb - 64) << 32) + fraction) * PPM) >> 32;
        }
    }

    /// @dev Index of the highest set bit; 0 for 0.
    function mostSignificantBit(uint256 x) internal pure returns (uint256 msb) {
        // Proof: each step adds a distinct power of two from 128 to 1, so the sum is at most 255.
        unchecked {
            for (uint256 step = 128; step != 0; step >>= 1) {
                if (x >> step != 0) {
                    x >>= step;
                    msb += step;
                }
            }
        }
    }

    /// @notice What miners sort by: bounty per difficulty, grown by waiting, so that no task starves (P-81).
    /// @param bountyWei of one round; only whole gwei count
    /// @param waitedSeconds since posting
    /// @param agingSeconds the wait that doubles the rank; not zero
    /// @param difficulty not zero
    function rankDown(uint256 bountyWei, uint256 waitedSeconds, uint256 agingSeconds, uint256 difficulty)
        internal
        pure
        returns (uint256)
    {
        return (bountyWei / 1 gwei) * (agingSeconds + waitedSeconds) * PPM / (agingSeconds * difficulty);
    }
}
