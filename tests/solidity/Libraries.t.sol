// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Errors} from "../../contracts/libraries/Errors.sol";
import {PayoutLib} from "../../contracts/libraries/PayoutLib.sol";
import {PhaseLib} from "../../contracts/libraries/PhaseLib.sol";
import {ScoreLib} from "../../contracts/libraries/ScoreLib.sol";
import {Outcome, Phase, Round, Task, Vote} from "../../contracts/types/Task.sol";
import {Base} from "./Base.sol";
import {Harness} from "./Harness.sol";

/// @dev Properties of the libraries. What single inputs give is in Vectors.t.sol.
contract LibrariesTest is Base {
    Harness private harness;

    function setUp() public {
        harness = new Harness();
    }

    // ---------------------------------------------------------------- DifficultyLib

    function test_log2_of_powers_of_two_is_exact() public view {
        for (uint256 k; k < 160; ++k) {
            assertEq(k * 1e6, harness.log2Down(2 ** k - 1, 1), "log2(2^k)");
        }
    }

    function test_log2_of_nothing_is_zero() public view {
        assertEq(0, harness.log2Down(0, 1), "log2(1)");
    }

    function test_log2_beyond_its_operands_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Difficulty_TooLarge.selector, 2 ** 160, 2 ** 160 - 1));
        harness.log2Down(2 ** 160, 1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Difficulty_TooLarge.selector, 2 ** 160, 2 ** 160 - 1));
        harness.log2Down(1, 2 ** 160);
        vm.expectRevert(abi.encodeWithSelector(Errors.Difficulty_ZeroDivisor.selector));
        harness.log2Down(1, 0);
    }

    function testFuzz_log2_rises_with_n(uint256 n, uint256 more, uint256 d) public view {
        n = within(n, 0, 2 ** 160 - 2);
        more = within(more, n + 1, 2 ** 160 - 1);
        d = within(d, 1, 2 ** 160 - 1);
        assertTrue(harness.log2Down(n, d) <= harness.log2Down(more, d), "monotonic");
    }

    function testFuzz_log2_lies_between_its_whole_bits(uint256 n) public view {
        n = within(n, 1, 2 ** 160 - 1);
        uint256 bits = harness.mostSignificantBit(n + 1);
        uint256 found = harness.log2Down(n, 1);
        assertTrue(bits * 1e6 <= found && found < (bits + 1) * 1e6, "floor");
    }

    function testFuzz_mostSignificantBit(uint256 x) public view {
        x = within(x, 1, type(uint256).max);
        uint256 msb = harness.mostSignificantBit(x);
        assertEq(1, x >> msb, "the highest bit");
    }

    function testFuzz_rank_rises_with_waiting(uint96 bounty, uint32 waited, uint32 more, uint32 difficulty)
        public
        view
    {
        uint256 d = uint256(difficulty) + 1;
        uint256 early = harness.rank(bounty, waited, 1 days, d);
        assertTrue(early <= harness.rank(bounty, uint256(waited) + more, 1 days, d), "ageing");
    }

    // ---------------------------------------------------------------- PayoutLib

    function testFuzz_settlement_sums_to_the_bounty(uint96 bounty, uint256 fee, uint256 royalty, bool hasParent)
        public
        view
    {
        fee = within(fee, 0, 500);
        royalty = within(royalty, 0, 2000);
        (uint256 paidWei, uint256 feeWei, uint256 royaltyWei) = harness.settlement(bounty, fee, royalty, hasParent);
        assertEq(bounty, paidWei + feeWei + royaltyWei, "sum");
        assertTrue(hasParent || royaltyWei == 0, "no parent, no royalty");
        assertTrue(feeWei * 1e4 <= uint256(bounty) * fee, "rounded down");
        assertTrue(royaltyWei * 1e4 <= uint256(bounty) * royalty, "rounded down");
    }

    function testFuzz_abortion_sums_to_the_bond(uint96 bond, uint256 committers) public view {
        committers = within(committers, 1, type(uint32).max);
        (uint256 shareWei, uint256 restWei) = harness.abortion(bond, committers);
        assertEq(bond, shareWei * committers + restWei, "sum");
        assertTrue(restWei >= bond / 2, "at least half to the pool");
    }

    function testFuzz_abortion_without_committers_is_the_pools(uint96 bond) public view {
        (uint256 shareWei, uint256 restWei) = harness.abortion(bond, 0);
        assertEq(0, shareWei, "share");
        assertEq(bond, restWei, "pool");
    }

    function testFuzz_refutation_gives_a_third_rounded_down(uint96 deposit) public pure {
        (uint256 refuterWei, uint256 restWei) = PayoutLib.refutation(deposit);
        assertEq(deposit, refuterWei + restWei, "sum");
        assertTrue(3 * refuterWei <= deposit && 3 * (refuterWei + 1) > deposit, "a third");
    }

    // ---------------------------------------------------------------- ScoreLib

    function testFuzz_reaches_agrees_with_fractions(uint256 n, uint256 m, uint256 total, uint256 required) public pure {
        n = within(n, 1, 2 ** 32);
        m = within(m, 1, 2 ** 24);
        total = within(total, 0, n * m);
        required = within(required, 0, 1e6);
        bool expected = total >= (required * n * m + 1e6 - 1) / 1e6;
        assertEq(expected, ScoreLib.reaches(total, required, n, m), "threshold, rounded up");
        assertTrue(ScoreLib.scorePpmDown(total, n, m) <= 1e6, "at most everything");
    }

    function testFuzz_requiredPpm_is_between_its_bounds(uint256 least, uint256 previous, uint256 gain) public pure {
        least = within(least, 0, 1e6);
        previous = within(previous, 0, 1e6);
        gain = within(gain, 0, 1e6);
        uint256 required = ScoreLib.requiredPpm(least, previous, gain);
        assertTrue(required >= least && required <= 1e6, "bounds");
        assertTrue(required == 1e6 || required >= previous + gain, "the gain");
    }

    function testFuzz_beats_is_a_strict_order(uint64 a, uint64 seqA, uint64 b, uint64 seqB) public pure {
        bool forth = ScoreLib.beats(a, seqA, b, seqB);
        bool back = ScoreLib.beats(b, seqB, a, seqA);
        assertTrue(!(forth && back), "never both");
        assertTrue(forth || back || (a == b && seqA == seqB), "one, unless equal");
    }

    // ---------------------------------------------------------------- PhaseLib

    function test_coldPhase_of_every_outcome() public pure {
        assertEq(uint256(Phase.Settled), uint256(PhaseLib.coldPhase(Outcome.Settled)), "Settled");
        assertEq(uint256(Phase.Aborted), uint256(PhaseLib.coldPhase(Outcome.Aborted)), "Aborted");
        assertEq(uint256(Phase.Void), uint256(PhaseLib.coldPhase(Outcome.Void)), "Void");
        assertEq(uint256(Phase.Cancelled), uint256(PhaseLib.coldPhase(Outcome.Cancelled)), "Cancelled");
    }

    /// @dev Whatever the facts, a warm phase that is not due ends later, and one that is due does not.
    /// @param ends trainEnd, revealEnd, nominateEnd, challengeEnd, voteStart, demandEnd, and the time; half of the time
    /// they are near each other
    /// @param lengths of release, opening, the finality gap and votes
    function testFuzz_phase_is_due_exactly_from_its_end(
        uint40[7] memory ends,
        uint16[4] memory lengths,
        uint8 vote,
        bool hasLeader,
        uint16 openDemands,
        uint32 commits
    ) public {
        uint256 limit = vote % 2 == 0 ? 2 ** 39 : 100_000;
        for (uint256 i; i < 7; ++i) {
            ends[i] = uint40(within(ends[i], i == 0 ? 1 : 0, limit));
        }
        Round memory round;
        (round.trainEnd, round.revealEnd, round.nominateEnd) = (ends[0], ends[1], ends[2]);
        (round.challengeEnd, round.voteStart, round.demandEnd) = (ends[3], ends[4], ends[5]);
        round.vote = Vote(vote % 3);
        round.openDemands = openDemands;
        round.commits = commits;
        if (hasLeader) round.leader = address(2);
        assertDueFromItsEnd(round, 2 * uint256(ends[6]), lengths);
    }

    function assertDueFromItsEnd(Round memory round, uint256 time, uint16[4] memory lengths) private {
        Task memory task;
        task.requester = address(1);
        (task.releaseSeconds, task.openSeconds) = (lengths[0], lengths[1]);
        (Phase phase, bool due, uint40 endsAt) = harness.phase(task, round, time, lengths[2], lengths[3]);
        assertTrue(phase != Phase.None && phase < Phase.Settled, "warm");
        assertEq(time >= endsAt, due, "due from the end on");
    }

    // ---------------------------------------------------------------- MerkleLib

    function testFuzz_slotRoot_depends_on_everything(bytes32 key, bytes32 sibling, uint32 slot) public view {
        bytes32[] memory path = new bytes32[](1);
        path[0] = sibling;
        slot &= 1;
        bytes32 root = harness.slotRoot(key, slot, path);
        assertTrue(root != harness.slotRoot(key, slot ^ 1, path), "slot");
        assertTrue(root != harness.slotRoot(bytes32(uint256(key) ^ 1), slot, path), "key");
        path[0] = bytes32(uint256(sibling) ^ 1);
        assertTrue(root != harness.slotRoot(key, slot, path), "sibling");
    }
}
