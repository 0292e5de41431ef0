// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {VotePayoutLib} from "../../../contracts/libraries/VotePayoutLib.sol";
import {Symbolic} from "./Symbolic.sol";

contract VotePayoutSymbolic is Symbolic {
    /// @dev SYM-VOTEPAY-1: what an upheld case forfeits is split without remainder; filers get nothing of a test set's.
    function check_falls_sums(uint96 forfeitWei, uint96 losersWei, bool isClaim) external pure {
        (uint256 filersWei, uint256 votersWei) = VotePayoutLib.falls(forfeitWei, losersWei, isClaim);
        assert(filersWei + votersWei == uint256(forfeitWei) + losersWei);
        assert(isClaim || filersWei == 0);
        assert(filersWei * 3 <= forfeitWei);
    }

    /// @dev SYM-VOTEPAY-2: the bonds of an overruled case are split without remainder; the defendant never gets more than
    /// half.
    function check_stands_sums(uint96 bondsWei, uint96 losersWei) external pure {
        (uint256 defendantWei, uint256 votersWei) = VotePayoutLib.stands(bondsWei, losersWei);
        assert(defendantWei + votersWei == uint256(bondsWei) + losersWei);
        assert(defendantWei * 2 <= bondsWei && bondsWei <= defendantWei * 2 + 1);
    }

    /// @dev SYM-VOTEPAY-3: without a quorum a bond is split without remainder; an impeachment's goes back whole.
    function check_noQuorum_sums(uint96 bondWei, bool isClaim) external pure {
        (uint256 defendantWei, uint256 filerWei) = VotePayoutLib.noQuorum(bondWei, isClaim);
        assert(defendantWei + filerWei == bondWei);
        assert(isClaim || defendantWei == 0);
        assert(defendantWei * 10 <= bondWei);
    }

    /// @dev SYM-VOTEPAY-4: a bond is the bounty's tenth, rounded up once.
    function check_bond_is_a_tenth(uint96 bountyWei) external pure {
        uint256 bondWei = VotePayoutLib.bondUp(bountyWei);
        assert(bondWei * 10 >= bountyWei && bondWei * 10 < uint256(bountyWei) + 10);
    }

    /// @dev SYM-VOTEPAY-5: no share exceeds the pot, for pots and weights below 2^96.
    function check_share_is_in_the_pot(uint96 potWei, uint96 weight, uint96 weights) external pure {
        vm.assume(weight != 0 && weight <= weights);
        assert(VotePayoutLib.shareDown(potWei, weight, weights) <= potWei);
    }

    /// @dev SYM-VOTEPAY-6: whoever collects last takes all that is left: pots pay out exactly.
    function check_last_share_is_the_rest(uint96 leftWei, uint96 weight) external pure {
        vm.assume(weight != 0);
        assert(VotePayoutLib.shareDown(leftWei, weight, weight) == leftWei);
    }
}
