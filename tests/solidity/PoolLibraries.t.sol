// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ruling, Verdict} from "../../contracts/types/Task.sol";
import {Base} from "./Base.sol";
import {PoolHarness} from "./PoolHarness.sol";

/// Given any input
/// ├── a tally should rule by a third and a half, and exactly there
/// ├── a trace should answer like a list that is read from its start
/// ├── every split should sum to the whole, and every pot pay out exactly
/// ├── dividends should never exceed what was shared
/// ├── a stored ballot should be read as it was written
/// └── a tree should have the least depth that holds its leaves
contract PoolLibrariesTest is Base {
    PoolHarness internal harness;

    function setUp() public {
        harness = new PoolHarness();
    }

    // ---------------------------------------------------------------- TallyLib

    function test_ruling_at_the_thresholds() public view {
        // a half: exactly, and one more
        assertRuling(Ruling.Split, 5, 5, 0, 27, 1e4, 0);
        assertRuling(Ruling.Split, 5, 2, 3, 27, 1e4, 0);
        assertRuling(Ruling.Falls, 5, 6, 0, 27, 1e4, 0);
        assertRuling(Ruling.Falls, 5, 2, 4, 27, 1e4, 0);
        assertRuling(Ruling.Stands, 6, 5, 0, 27, 1e4, 0);
        assertRuling(Ruling.Stands, 6, 2, 3, 27, 1e4, 0);
        // a third of the snapshot: exactly, and one less
        assertRuling(Ruling.Stands, 9, 0, 0, 27, 1e4, 0);
        assertRuling(Ruling.Repeat, 8, 0, 0, 27, 1e4, 0);
        assertRuling(Ruling.NoQuorum, 8, 0, 0, 27, 1e4, 1);
        // of what it would have locked
        assertRuling(Ruling.Falls, 0, 9, 0, 135, 2000, 1);
        assertRuling(Ruling.NoQuorum, 0, 8, 0, 135, 2000, 1);
        // nothing revealed, or nothing at stake, is no quorum
        assertRuling(Ruling.Repeat, 0, 0, 0, 0, 1, 0);
        assertRuling(Ruling.Repeat, 0, 0, 0, 1, 1, 0);
        assertRuling(Ruling.Repeat, 1, 0, 0, 0, 1, 0);
        assertRuling(Ruling.Stands, type(uint96).max, 0, 0, type(uint96).max, 1e4, 0);
    }

    function testFuzz_ruling_is_its_definition(
        uint96 standsWei,
        uint96 fallsWei,
        uint96 unavailableWei,
        uint96 snapshotWei,
        uint16 lockBps,
        bool isRepeat
    ) public view {
        uint256 against = uint256(fallsWei) + unavailableWei;
        uint256 revealed = against + standsWei;
        uint256 bps = within(lockBps, 1, 1e4);
        Ruling expected = Ruling.Split;
        if (revealed == 0 || snapshotWei == 0 || revealed * 30_000 < uint256(snapshotWei) * bps) {
            expected = isRepeat ? Ruling.NoQuorum : Ruling.Repeat;
        } else if (against > revealed / 2) {
            expected = Ruling.Falls;
        } else if (revealed - against > revealed / 2) {
            expected = Ruling.Stands;
        }
        assertRuling(expected, standsWei, fallsWei, unavailableWei, snapshotWei, bps, isRepeat ? 1 : 0);
    }

    function test_who_wins_and_who_loses() public view {
        Ruling[6] memory rulings =
            [Ruling.None, Ruling.Repeat, Ruling.Stands, Ruling.Falls, Ruling.Split, Ruling.NoQuorum];
        for (uint256 i; i < 6; ++i) {
            bool stands = rulings[i] == Ruling.Stands;
            bool falls = rulings[i] == Ruling.Falls;
            assertSides(rulings[i], Verdict.Stands, stands, falls ? 109 : 0);
            assertSides(rulings[i], Verdict.Falls, falls, stands ? 109 : 0);
            assertSides(rulings[i], Verdict.Unavailable, falls, stands ? 10 : 0);
        }
    }

    // ---------------------------------------------------------------- SnapshotLib

    function testFuzz_trace_answers_like_a_list(
        uint8[16] memory gaps,
        uint96[16] memory amounts,
        uint16[8] memory asked
    ) public {
        uint40[16] memory times;
        uint40 time = 1000;
        uint256 distinct;
        for (uint256 i; i < 16; ++i) {
            uint256 gap = gaps[i] % 5;
            time += uint40(gap);
            times[i] = time;
            if (i == 0 || gap != 0) ++distinct;
            harness.push(time, amounts[i]);
            harness.pushTime(time);
        }
        assertEq(distinct, harness.points(), "one point a second");
        for (uint256 k; k < 8; ++k) {
            uint256 moment = 990 + asked[k] % 100;
            uint96 expected;
            uint256 later;
            for (uint256 i; i < 16; ++i) {
                if (times[i] <= moment) expected = amounts[i];
                else ++later;
            }
            assertEq(expected, harness.amountAt(moment), "amountAt");
            assertEq(later, harness.countAfter(moment), "countAfter");
        }
        assertEq(amounts[15], harness.amountAt(type(uint256).max), "the last");
        assertEq(0, harness.countAfter(type(uint256).max), "none");
        assertEq(16, harness.countAfter(0), "all");
    }

    function test_empty_trace() public view {
        assertEq(0, harness.amountAt(type(uint256).max), "nothing");
        assertEq(0, harness.countAfter(0), "none");
    }

    // ---------------------------------------------------------------- VotePayoutLib

    function testFuzz_splits_sum_to_the_whole(uint96 a, uint96 b, bool isClaim) public view {
        (uint256 first, uint256 second) = harness.falls(a, b, isClaim);
        assertEq(uint256(a) + b, first + second, "falls");
        assertEq(isClaim ? uint256(a) / 3 : 0, first, "a third to the filers of a claim");
        (first, second) = harness.stands(a, b);
        assertEq(uint256(a) + b, first + second, "stands");
        assertEq(uint256(a) / 2, first, "half to whom was wronged");
        (first, second) = harness.noQuorum(a, isClaim);
        assertEq(a, first + second, "noQuorum");
        assertEq(isClaim ? uint256(a) / 10 : 0, first, "a tenth to a leader");
        uint256 bondWei = harness.bondUp(a);
        vm.assertGe(bondWei * 10, a, "at least a tenth");
        vm.assertLe(bondWei * 10, uint256(a) + 9, "rounded up");
    }

    function testFuzz_pot_pays_out_exactly(uint96 pot, uint96[5] memory locks) public view {
        uint256 left = pot;
        uint256 weights;
        for (uint256 i; i < 5; ++i) {
            locks[i] = uint96(within(locks[i], 1, type(uint96).max / 5));
            weights += locks[i];
        }
        uint256 whole = weights;
        for (uint256 i; i < 5; ++i) {
            uint256 shareWei = harness.shareDown(left, locks[i], weights);
            vm.assertLe(shareWei, left, "never more than is left");
            // nobody gains or loses more than rounding by when it collects
            vm.assertLe(uint256(pot) * locks[i] / whole, shareWei + 5, "no less than its part");
            vm.assertLe(shareWei, uint256(pot) * locks[i] / whole + 5, "no more than its part");
            left -= shareWei;
            weights -= locks[i];
        }
        assertEq(0, left, "the last takes all that is left");
    }

    // ---------------------------------------------------------------- StakeLib

    function testFuzz_dividends_never_exceed_what_was_shared(
        uint96[4] memory fees,
        uint96[3] memory stakes,
        uint160 index
    ) public view {
        uint256 total;
        for (uint256 i; i < 3; ++i) {
            stakes[i] = uint96(within(stakes[i], 1, type(uint96).max / 3));
            total += stakes[i];
        }
        uint160 start = index;
        uint256 shared;
        uint256 fed;
        for (uint256 i; i < 4; ++i) {
            uint256 waitingWei = within(fees[i], 0, type(uint96).max / 4);
            uint256 sharedWei;
            (index, sharedWei) = harness.share(waitingWei, total, index);
            vm.assertLe(sharedWei, waitingWei, "no more than there is");
            shared += sharedWei;
            fed += waitingWei;
        }
        uint256 earned;
        for (uint256 i; i < 3; ++i) {
            earned += harness.earnedDown(stakes[i], index, start);
        }
        vm.assertLe(earned, shared, "no more than was shared");
        // a share leaves total / 2^64 of itself at most, and rounds by one; every stake rounds by one
        vm.assertGe(earned + 4 * (total / 2 ** 64 + 2) + 3, fed, "and not much less");
    }

    function test_index_wraps_without_owing_more() public view {
        (uint160 index, uint256 sharedWei) = harness.share(type(uint96).max, 1, type(uint160).max);
        assertEq(type(uint96).max, sharedWei, "all of it to one wei of stake");
        assertEq(type(uint96).max, harness.earnedDown(1, index, type(uint160).max), "which earned all of it");
        assertEq(0, harness.earnedDown(type(uint96).max, 7, 7), "nothing since");
        assertEq(
            (uint256(type(uint96).max) * type(uint160).max) >> 64,
            harness.earnedDown(type(uint96).max, 6, 7),
            "the greatest product fits"
        );
    }

    function testFuzz_participation_never_pays_more_than_accrued(uint96 accrued, uint24 ballots, uint64 votes)
        public
        view
    {
        (uint256 paidWei, uint256 returnedWei) = harness.weighByVotes(accrued, ballots, votes);
        assertEq(accrued, paidWei + returnedWei, "sums to the whole");
        if (ballots >= votes) assertEq(accrued, paidWei, "all of it");
        else assertEq(uint256(accrued) * ballots / votes, paidWei, "its part");
    }

    function test_participation() public view {
        assertPaid(100, 0, 0, 100);
        assertPaid(100, 0, 1, 0);
        assertPaid(101, 1, 2, 50);
        assertPaid(100, 3, 2, 100);
        assertPaid(type(uint96).max, type(uint24).max, type(uint24).max, type(uint96).max);
    }

    function testFuzz_lock_is_a_share_of_the_lesser(uint96 snapshotWei, uint96 activeWei, uint16 lockBps) public view {
        uint256 bps = within(lockBps, 1, 1e4);
        uint256 lockWei = harness.lockDown(snapshotWei, activeWei, bps);
        uint256 weight = snapshotWei < activeWei ? snapshotWei : activeWei;
        assertEq(weight * bps / 1e4, lockWei, "lock");
        vm.assertLe(lockWei, activeWei, "never more than is there");
    }

    // ---------------------------------------------------------------- BallotLib

    function testFuzz_ballot_reads_as_it_was_written(uint8 says, uint96 lockWei, bytes32 sealed_) public view {
        Verdict verdict = Verdict(within(says, 1, 3));
        (Verdict found, uint256 foundWei) = harness.unpack(harness.pack(verdict, lockWei));
        assertEq(uint256(verdict), uint256(found), "verdict");
        assertEq(lockWei, foundWei, "lock");
        vm.assume(uint256(sealed_) >= 2 ** 104);
        (found, foundWei) = harness.unpack(sealed_);
        assertEq(0, uint256(found), "a seal says nothing");
        assertEq(0, foundWei, "and locks nothing yet");
    }

    function testFuzz_ballot_hashes_are_of_static_words(
        address pool,
        bytes32 disputeId,
        address voter,
        uint8 says,
        bytes32 salt,
        uint256 lockWei
    ) public view {
        Verdict verdict = Verdict(within(says, 0, 3));
        bytes32 expected = keccak256(
            bytes.concat(
                bytes32(uint256(uint160(pool))),
                disputeId,
                bytes32(uint256(uint160(voter))),
                bytes32(uint256(verdict)),
                salt
            )
        );
        bytes32 found = harness.ballot(pool, disputeId, voter, verdict, salt);
        assertEq(expected, found, "ballot");
        assertEq(keccak256(bytes.concat(expected, bytes32(lockWei))), harness.seal(found, lockWei), "seal");
    }

    // ---------------------------------------------------------------- MerkleLib

    function testFuzz_depth_is_the_least_that_holds_the_leaves(uint256 leaves) public view {
        leaves = within(leaves, 1, 2 ** 32);
        uint256 depth = harness.depthOf(leaves);
        vm.assertGe(2 ** depth, leaves, "holds them");
        if (depth != 0) vm.assertLe(2 ** (depth - 1) + 1, leaves, "and no shallower tree does");
    }

    // ---------------------------------------------------------------- help

    function assertRuling(
        Ruling expected,
        uint256 standsWei,
        uint256 fallsWei,
        uint256 unavailableWei,
        uint256 snapshotWei,
        uint256 lockBps,
        uint256 attempt
    ) private view {
        Ruling found = harness.rulingOf(standsWei, fallsWei, unavailableWei, snapshotWei, lockBps, attempt);
        assertEq(uint256(expected), uint256(found), "ruling");
    }

    /// @param lostWei of a lock of 109 wei
    function assertSides(Ruling ruling, Verdict verdict, bool hasWon, uint256 lostWei) private view {
        assertEq(hasWon, harness.hasWon(ruling, verdict), "won");
        assertEq(lostWei, harness.lossDown(ruling, verdict, 109), "lost");
    }

    function assertPaid(uint256 accruedWei, uint256 ballots, uint256 votes, uint256 expected) private view {
        (uint256 paidWei,) = harness.weighByVotes(accruedWei, ballots, votes);
        assertEq(expected, paidWei, "paid");
    }
}
