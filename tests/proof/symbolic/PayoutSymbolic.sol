// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PayoutLib} from "../../../contracts/libraries/PayoutLib.sol";
import {Symbolic} from "./Symbolic.sol";

contract PayoutSymbolic is Symbolic {
    /// @dev SYM-PAYOUT-1: for every bounty below 2^96, fee up to 500 bps and royalty up to 2,000 bps, the split of a settled
    /// bounty never reverts and sums to the bounty; without a parent there is no royalty.
    function check_settlement_sums(uint96 bountyWei, uint16 feeBps, uint16 royaltyBps, bool hasParent) external view {
        vm.assume(feeBps <= 500 && royaltyBps <= 2000);
        try this.settlement(bountyWei, feeBps, royaltyBps, hasParent) returns (
            uint256 paidWei, uint256 feeWei, uint256 royaltyWei
        ) {
            assert(paidWei + feeWei + royaltyWei == bountyWei);
            assert(hasParent || royaltyWei == 0);
        } catch {
            assert(false);
        }
    }

    /// @dev SYM-PAYOUT-2: an aborted task's bond is split without remainder among committers and pool, the pool gets at
    /// least half, and all of it if nobody is left to share; it never reverts.
    function check_abortion_sums(uint96 bondWei, uint32 committers) external view {
        try this.abortion(bondWei, committers) returns (uint256 shareWei, uint256 restWei) {
            assert(shareWei * committers + restWei == bondWei);
            assert(restWei >= bondWei / 2);
            assert(committers != 0 || shareWei == 0);
        } catch {
            assert(false);
        }
    }

    /// @dev SYM-PAYOUT-3: a refuted claim's deposit is split without remainder; the refuter's part is the whole third.
    function check_refutation_sums(uint96 depositWei) external pure {
        (uint256 refuterWei, uint256 restWei) = PayoutLib.refutation(depositWei);
        assert(refuterWei + restWei == depositWei);
        assert(refuterWei * 3 <= depositWei && depositWei < (refuterWei + 1) * 3);
    }

    /// @dev SYM-PAYOUT-4: unrevealed deposits plus revealed ones are all deposits, if no more revealed than committed.
    function check_unrevealed_is_the_rest(uint96 depositWei, uint32 commits, uint32 reveals) external pure {
        vm.assume(reveals <= commits);
        uint256 unrevealedWei = PayoutLib.unrevealed(depositWei, commits, reveals);
        assert(unrevealedWei + uint256(depositWei) * reveals == uint256(depositWei) * commits);
    }

    function settlement(uint256 bountyWei, uint256 feeBps, uint256 royaltyBps, bool hasParent)
        external
        pure
        returns (uint256, uint256, uint256)
    {
        return PayoutLib.settlement(bountyWei, feeBps, royaltyBps, hasParent);
    }

    function abortion(uint256 bondWei, uint256 committers) external pure returns (uint256, uint256) {
        return PayoutLib.abortion(bondWei, committers);
    }
}
