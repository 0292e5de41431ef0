// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BallotLib} from "../../../contracts/libraries/BallotLib.sol";
import {Verdict} from "../../../contracts/types/Task.sol";
import {Symbolic} from "./Symbolic.sol";

contract BallotSymbolic is Symbolic {
    struct Ballot {
        address pool;
        bytes32 disputeId;
        address voter;
        Verdict verdict;
        bytes32 salt;
    }

    /// @dev SYM-BALLOT-1: an opened ballot reads as what was packed, for every verdict and lock below 2^96.
    function check_unpack_is_the_inverse_of_pack(Verdict verdict, uint96 lockWei) external pure {
        (Verdict found, uint256 foundWei) = BallotLib.unpack(BallotLib.pack(verdict, lockWei));
        assert(found == verdict && foundWei == lockWei);
    }

    /// @dev SYM-BALLOT-2: two ballots with one hash are the same ballot: none can be opened for another pool, vote, voter
    /// or verdict.
    function check_ballots_are_bound(Ballot calldata a, Ballot calldata b) external pure {
        vm.assume(hashOf(a) == hashOf(b));
        assert(a.pool == b.pool && a.disputeId == b.disputeId && a.voter == b.voter);
        assert(a.verdict == b.verdict && a.salt == b.salt);
    }

    /// @dev SYM-BALLOT-3: the seal binds the lock, and a vote's id its case and attempt.
    function check_seals_are_bound(bytes32 a, uint256 lockA, bytes32 b, uint256 lockB) external pure {
        if (BallotLib.seal(a, lockA) == BallotLib.seal(b, lockB)) assert(a == b && lockA == lockB);
        if (BallotLib.disputeId(a, lockA) == BallotLib.disputeId(b, lockB)) assert(a == b && lockA == lockB);
    }

    function hashOf(Ballot calldata a) private pure returns (bytes32) {
        return BallotLib.ballot(a.pool, a.disputeId, a.voter, a.verdict, a.salt);
    }
}
