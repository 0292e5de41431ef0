// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Params, PoolParams} from "../types/Task.sol";
import {Errors} from "./Errors.sol";

/// @title StakeLib
/// @notice Dividends per staked wei, what participation leaves of them (P-60), and the bounds of a pool's parameters
/// (P-56, section 12).
/// Assumes: amounts fit uint96.
library StakeLib {
    uint256 private constant SCALE_BITS = 64;
    uint256 private constant MAX_SECONDS = 2 * 365 days;
    uint256 private constant BPS = 1e4;

    /// @notice Shares an amount out over all active stake.
    /// @param totalWei not zero
    /// @return index the new one: dividends per staked wei, times 2^64, modulo 2^160
    /// @return sharedWei what the stakes can be owed for it at most; the rest is not shared
    function share(uint256 waitingWei, uint256 totalWei, uint160 paidIndex)
        internal
        pure
        returns (uint160 index, uint256 sharedWei)
    {
        // Proof: waitingWei < 2^96, so waitingWei * 2^64 < 2^160 bounds growth and growth * totalWei alike, and with
        // them the sum before the last shift. The same bound gives sharedWei <= waitingWei. The index wraps by intent,
        // see earnedDown.
        unchecked {
            uint256 growth = (waitingWei << SCALE_BITS) / totalWei;
            index = uint160(paidIndex + growth);
            // up, because a stake rounds down once over many shares: the sum it is owed may pass the sum of floors
            sharedWei = (growth * totalWei + (1 << SCALE_BITS) - 1) >> SCALE_BITS;
        }
    }

    /// @notice What a stake earned while the index went from paidIndex to index.
    function earnedDown(uint256 activeWei, uint160 index, uint160 paidIndex) internal pure returns (uint256) {
        // Proof: a factor below 2^96 and one below 2^160 give a product below 2^256. The difference modulo 2^160 is the
        // true growth unless that reached 2^160, which is 2^96 wei of dividends for each staked wei, more than there
        // is; even then it is less than the true growth, so nobody is owed what is not there.
        unchecked {
            return (activeWei * uint256(uint160(index - paidIndex))) >> SCALE_BITS;
        }
    }

    /// @notice Dividends x (ballots / votes), at most all of them.
    function weighByVotes(uint256 accruedWei, uint256 ballots, uint256 votes)
        internal
        pure
        returns (uint256 paidWei, uint256 returnedWei)
    {
        paidWei = ballots >= votes ? accruedWei : accruedWei * ballots / votes;
        returnedWei = accruedWei - paidWei;
    }

    /// @notice What a ballot of this weight locks.
    function lockDown(uint256 snapshotWei, uint256 activeWei, uint256 lockBps) internal pure returns (uint256) {
        return (snapshotWei < activeWei ? snapshotWei : activeWei) * lockBps / BPS;
    }

    /// @param market what the pool's market was deployed with
    function checkParams(PoolParams memory params, Params memory market) internal pure {
        _check("activationSeconds", params.activationSeconds, market.maxChallenge, MAX_SECONDS);
        // a vote and its repeat: two windows, then two of double length
        uint256 longestDispute = uint256(market.maxChallenge) + 6 * uint256(market.voteSeconds);
        _check("unbondingSeconds", params.unbondingSeconds, longestDispute, MAX_SECONDS);
        _check("lockBps", params.lockBps, 1, BPS);
        _check("demandBondWei", params.demandBondWei, 1, type(uint96).max);
    }

    function _check(bytes32 parameter, uint256 given, uint256 minimum, uint256 maximum) private pure {
        if (given < minimum || given > maximum) revert Errors.Params_OutOfBounds(parameter, given, minimum, maximum);
    }
}
