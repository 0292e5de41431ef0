// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ScoreLib} from "../../../contracts/libraries/ScoreLib.sol";
import {Symbolic} from "./Symbolic.sol";

contract ScoreSymbolic is Symbolic {
    /// @dev SYM-SCORE-1: of two claims one beats the other, never both, and neither only if they are equal.
    function check_beats_is_total(uint64 a, uint64 seqA, uint64 b, uint64 seqB) external pure {
        bool forth = ScoreLib.beats(a, seqA, b, seqB);
        bool back = ScoreLib.beats(b, seqB, a, seqA);
        assert(!(forth && back));
        assert(forth || back || (a == b && seqA == seqB));
    }

    /// @dev SYM-SCORE-2: what beats a claim that beats a third beats the third.
    function check_beats_is_transitive(uint64[3] calldata totals, uint64[3] calldata seqs) external pure {
        vm.assume(ScoreLib.beats(totals[0], seqs[0], totals[1], seqs[1]));
        vm.assume(ScoreLib.beats(totals[1], seqs[1], totals[2], seqs[2]));
        assert(ScoreLib.beats(totals[0], seqs[0], totals[2], seqs[2]));
    }

    /// @dev SYM-SCORE-3: for ppm up to 1e6, what is required is at least the minimum and at most everything, and asks for
    /// the whole gain unless that is more than everything; it never reverts.
    function check_required_is_within_bounds(uint32 least, uint32 previous, uint32 gain) external view {
        vm.assume(least <= 1e6 && previous <= 1e6 && gain <= 1e6);
        try this.requiredPpm(least, previous, gain) returns (uint256 required) {
            assert(required >= least && required <= 1e6);
            assert(required == 1e6 || required >= uint256(previous) + gain);
            assert(required == least || required == 1e6 || required == uint256(previous) + gain);
        } catch {
            assert(false);
        }
    }

    /// @dev SYM-SCORE-4: reaching a threshold never reverts for n <= 2^32, M <= 2^24, total < 2^64, ppm <= 1e6. First
    /// factor: ppm * n stays below 2^52; with SYM-SCORE-6 that is all, since the product is taken from left to right.
    function check_reaches_never_reverts(uint64 total, uint32 required, uint40 samples) external view {
        vm.assume(required <= 1e6 && samples <= 2 ** 32);
        unchecked {
            assert(uint256(required) * samples < 2 ** 52);
        }
        try this.reaches(total, required, samples, 1) returns (bool) {}
        catch {
            assert(false);
        }
    }

    /// @dev SYM-SCORE-6: reaching a threshold never reverts for ppm * n < 2^52, M <= 2^24, total < 2^64.
    function check_reaches_never_reverts_for_any_product(uint64 total, uint56 product, uint32 most) external view {
        vm.assume(product < 2 ** 52 && most <= 2 ** 24);
        try this.reaches(total, product, 1, most) returns (bool) {}
        catch {
            assert(false);
        }
    }

    /// @dev SYM-SCORE-5: a higher total reaches whatever a lower one does, at any n, M and threshold in range.
    function check_reaches_is_monotonic(uint64 total, uint64 higher, uint32 required, uint40 samples, uint32 most)
        external
        pure
    {
        vm.assume(required <= 1e6 && samples <= 2 ** 32 && most <= 2 ** 24 && higher >= total);
        vm.assume(ScoreLib.reaches(total, required, samples, most));
        assert(ScoreLib.reaches(higher, required, samples, most));
    }

    function requiredPpm(uint256 least, uint256 previous, uint256 gain) external pure returns (uint256) {
        return ScoreLib.requiredPpm(least, previous, gain);
    }

    function reaches(uint256 total, uint256 required, uint256 samples, uint256 most) external pure returns (bool) {
        return ScoreLib.reaches(total, required, samples, most);
    }
}
