// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {StakeLib} from "../../../contracts/libraries/StakeLib.sol";
import {Symbolic} from "./Symbolic.sol";

contract StakeSymbolic is Symbolic {
    /// @dev SYM-STAKE-1: no more is shared out than waits, for amounts below 2^96.
    function check_shared_is_at_most_what_waits(uint96 waitingWei, uint96 totalWei, uint160 paidIndex) external pure {
        vm.assume(totalWei != 0);
        (, uint256 sharedWei) = StakeLib.share(waitingWei, totalWei, paidIndex);
        assert(sharedWei <= waitingWei);
    }

    /// @dev SYM-STAKE-2: participation splits a dividend without remainder, and full participation pays all of it.
    function check_dividend_sums(uint96 accruedWei, uint24 ballots, uint40 votes) external pure {
        (uint256 paidWei, uint256 returnedWei) = StakeLib.weighByVotes(accruedWei, ballots, votes);
        assert(paidWei + returnedWei == accruedWei);
        assert(ballots < votes || paidWei == accruedWei);
    }

    /// @dev SYM-STAKE-3: a ballot locks a share of the smaller of two stakes, that of the snapshot and the active one.
    function check_lock_is_of_the_smaller_stake(uint96 snapshotWei, uint96 activeWei, uint16 lockBps) external pure {
        vm.assume(lockBps <= 1e4);
        uint256 smallerWei = snapshotWei < activeWei ? snapshotWei : activeWei;
        uint256 lockWei = StakeLib.lockDown(snapshotWei, activeWei, lockBps);
        assert(lockWei == StakeLib.lockDown(smallerWei, smallerWei, lockBps));
    }

    /// @dev SYM-STAKE-4: a ballot never locks more than the stake that it locks a share of.
    function check_lock_is_in_the_stake(uint96 stakeWei, uint16 lockBps) external pure {
        vm.assume(lockBps <= 1e4);
        assert(StakeLib.lockDown(stakeWei, stakeWei, lockBps) <= stakeWei);
    }
}
