// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAuditorPool} from "../../contracts/interfaces/IAuditorPool.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Case, Entry, Phase, Ruling, Tally, Terms, Verdict} from "../../contracts/types/Task.sol";
import {PoolScenario} from "./PoolScenario.sol";

/// Given a vote (locks: Ann 10, Ben 3, Cat 2 of 15 ether; quorum 5; two filers)
/// ├── when it is resolved early, twice, or where nothing is disputed
/// │   └── it should revert
/// ├── when a claim falls
/// │   └── it should strike it; a third of its deposit to filers, the rest and the losers' locks to winners
/// ├── when a test set falls
/// │   └── it should abort; the pool's half of the bond and the losers' locks to the winners
/// ├── when either stands
/// │   └── it should give half of the bonds to whom was wronged, the rest and the losers' locks to the winners
/// ├── when there is as much for as against
/// │   └── it should give everything back
/// ├── when there is no quorum
/// │   ├── it should be held once more at double length, with new ballots
/// │   └── again, it should let the claim stand with a tenth of the bonds, or the test set with none of them
/// ├── when a ballot was not opened
/// │   └── it should lose its lock to the dividends, whatever the ruling
/// └── when somebody collects
///     ├── it should be for the account, by anyone, once, in any order, and pay out exactly
///     └── before the ruling, it should revert
contract PoolRulingTest is PoolScenario {
    Verdict private constant NOT = Verdict.None;
    Verdict private constant STANDS = Verdict.Stands;
    Verdict private constant FALLS = Verdict.Falls;
    Verdict private constant UNAVAILABLE = Verdict.Unavailable;

    uint256 internal taskId;
    bytes32 internal caseId;

    // ---------------------------------------------------------------- resolve

    function test_resolve_where_nothing_is_disputed_reverts() public {
        taskId = openClaim().proof.taskId;
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NothingDisputed.selector, taskId));
        pool.resolve(taskId);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NothingDisputed.selector, 99));
        pool.resolve(99);
    }

    function test_resolve_before_revealEnd_reverts() public {
        claimVote();
        (,, uint40 revealEnd) = pool.windowsOf(caseId);
        vm.warp(revealEnd - 1);
        expectNotInWindow(revealEnd - 1, revealEnd, type(uint40).max);
        pool.resolve(taskId);
        vm.warp(revealEnd);
        pool.resolve(taskId);
    }

    function test_resolve_twice_reverts() public {
        testSetVote();
        vote(caseId, FALLS, FALLS, FALLS);
        resolve(Ruling.Falls);
        // an aborted round keeps its vote
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_AlreadyResolved.selector, caseId));
        pool.resolve(taskId);
    }

    function test_resolve_by_anyone_or_by_advance_is_the_same() public {
        claimVote();
        vote(caseId, STANDS, STANDS, STANDS);
        assertPhase(taskId, Phase.VotingReveal, true);
        vm.prank(keeper);
        pool.resolve(taskId);
        assertRuling(Ruling.Stands, caseId, 0);
        assertPhase(taskId, Phase.Challenge, true);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
    }

    // ---------------------------------------------------------------- a claim falls

    function test_claim_falls() public {
        claimVote();
        vote(caseId, FALLS, STANDS, UNAVAILABLE);
        vm.expectEmit();
        emit IAuditorPool.VoteResolved(caseId, 0, Ruling.Falls, 3 ether, 10 ether, 2 ether, 75 ether);
        resolve(Ruling.Falls);
        Entry memory entry = market.entryOf(taskId, 0, alice);
        assertTrue(entry.isStruck && !entry.holdsDeposit, "struck");
        assertPhase(taskId, Phase.Nominating, false);

        uint256 filersWei = uint256(DEPOSIT) / 3;
        uint256 votersWei = DEPOSIT - filersWei + 3 ether;
        assertPots(votersWei, 12 ether, filersWei, 2);
        assertEq(0, waiting(), "none of it is dividends");
        uint256 annWei = votersWei * 10 / 12;
        collectVote(ann, 10 ether, annWei);
        assertPots(votersWei - annWei, 2 ether, filersWei, 2);
        collectVote(cat, 2 ether, votersWei - annWei);
        collectVote(ben, 0, 0);
        assertPots(0, 0, filersWei, 2);
        collectBond(fay, DISPUTE_BOND + filersWei / 2);
        collectBond(gus, DISPUTE_BOND + filersWei - filersWei / 2);
        assertPots(0, 0, 0, 0);
        assertEq(ANN_STAKE, activeOf(ann), "ann has her lock back");
        assertEq(BEN_STAKE - 3 ether, activeOf(ben), "ben has not");
        assertEq(CAT_STAKE, activeOf(cat), "cat has");
        assertNothingLeft();
    }

    function test_claim_falls_collected_the_other_way_round() public {
        claimVote();
        vote(caseId, FALLS, STANDS, UNAVAILABLE);
        resolve(Ruling.Falls);
        uint256 filersWei = uint256(DEPOSIT) / 3;
        uint256 votersWei = DEPOSIT - filersWei + 3 ether;
        collectBond(gus, DISPUTE_BOND + filersWei / 2);
        collectBond(fay, DISPUTE_BOND + filersWei - filersWei / 2);
        collectVote(ben, 0, 0);
        collectVote(cat, 2 ether, votersWei * 2 / 12);
        collectVote(ann, 10 ether, votersWei - votersWei * 2 / 12);
        assertNothingLeft();
    }

    function test_claim_falls_against_both_others() public {
        claimVote();
        vote(caseId, FALLS, STANDS, STANDS);
        resolve(Ruling.Falls);
        uint256 votersWei = DEPOSIT - uint256(DEPOSIT) / 3 + 5 ether;
        collectVote(ann, 10 ether, votersWei);
        assertNothingLeft();
    }

    function test_fees_that_come_with_a_fallen_claim_are_dividends() public {
        // another round settles, and the pool's fee stays with the market
        Work memory other = work(BOB, post(1), 0, 900, "bob");
        settled(other);
        claimVote();
        vote(caseId, FALLS, NOT, NOT);
        resolve(Ruling.Falls);
        assertEq(BOUNTY * FEE_BPS / 1e4, waiting(), "the fee, and not the pot");
        assertNothingLeft();
    }

    function test_voided_after_a_vote_costs_the_requester_the_fee() public {
        claimVote();
        vote(caseId, FALLS, NOT, NOT);
        resolve(Ruling.Falls);
        toEnd(taskId);
        advance(taskId);
        assertPhase(taskId, Phase.Void, false);
        assertEq(BOUNTY * FEE_BPS / 1e4, market.creditOf(address(pool)), "the fee");
        assertNothingLeft();
    }

    // ---------------------------------------------------------------- a test set falls

    function test_test_set_falls() public {
        testSetVote();
        vote(caseId, UNAVAILABLE, STANDS, FALLS);
        resolve(Ruling.Falls);
        assertPhase(taskId, Phase.Aborted, false);
        uint256 votersWei = 0.5 ether + 3 ether; // half of the requester's bond, and ben's lock
        assertPots(votersWei, 12 ether, 0, 2);
        collectBond(fay, DISPUTE_BOND);
        collectBond(gus, DISPUTE_BOND);
        collectVote(ann, 10 ether, votersWei * 10 / 12);
        collectVote(cat, 2 ether, votersWei - votersWei * 10 / 12);
        assertNothingLeft();
    }

    // ---------------------------------------------------------------- it stands

    function test_claim_stands() public {
        claimVote();
        vote(caseId, STANDS, FALLS, UNAVAILABLE);
        resolve(Ruling.Stands);
        assertEq(DISPUTE_BOND, pool.creditOf(alice), "half of two bonds");
        uint256 votersWei = DISPUTE_BOND + 3 ether;
        assertPots(votersWei, 10 ether, 0, 0);
        expectNothing(fay);
        pool.collectBond(caseId, fay);
        collectVote(ben, 0, 0);
        collectVote(cat, 2 ether - 0.2 ether, 0); // an Unavailable that loses gives up a tenth
        assertEq(0.2 ether, waiting(), "to the dividends");
        collectVote(ann, 10 ether, votersWei);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
        assertEq(BOUNTY - BOUNTY * FEE_BPS / 1e4, market.creditOf(alice), "and the bounty");
        assertNothingLeft();
    }

    function test_claim_that_stands_shares_an_odd_bond_exactly() public {
        tinyVote();
        vote(caseId, STANDS, NOT, STANDS);
        resolve(Ruling.Stands);
        assertEq(3, pool.creditOf(alice), "half of 7, rounded down");
        collectVote(cat, 2 ether, uint256(4) * 2 / 12);
        collectVote(ann, 10 ether, 4);
        assertNothingLeft();
    }

    function test_test_set_stands() public {
        testSetVote();
        vote(caseId, STANDS, STANDS, FALLS);
        resolve(Ruling.Stands);
        assertEq(DISPUTE_BOND, pool.creditOf(requester), "half of two bonds");
        uint256 votersWei = DISPUTE_BOND + 2 ether;
        assertPots(votersWei, 13 ether, 0, 0);
        assertPhase(taskId, Phase.Opening, false);
        collectVote(ben, 3 ether, votersWei * 3 / 13);
        collectVote(ann, 10 ether, votersWei - votersWei * 3 / 13);
        collectVote(cat, 0, 0);
        assertNothingLeft();
    }

    // ---------------------------------------------------------------- split

    function test_claim_split_gives_everything_back() public {
        staked(cat, BEN_STAKE - CAT_STAKE); // as much as ben
        claimVote();
        vote(caseId, NOT, STANDS, UNAVAILABLE);
        resolve(Ruling.Split);
        assertEverythingBack();
        assertPhase(taskId, Phase.Challenge, true);
    }

    function test_test_set_split_gives_everything_back() public {
        staked(cat, BEN_STAKE - CAT_STAKE); // as much as ben
        testSetVote();
        vote(caseId, NOT, FALLS, STANDS);
        resolve(Ruling.Split);
        assertEverythingBack();
        assertPhase(taskId, Phase.Opening, false);
    }

    function assertEverythingBack() private {
        assertPots(0, 0, 0, 0);
        collectVote(ben, 3 ether, 0);
        collectVote(cat, 3 ether, 0);
        collectBond(fay, DISPUTE_BOND);
        collectBond(gus, DISPUTE_BOND);
        assertEq(80 ether, totalActive(), "all stakes whole");
        assertEq(0, pool.creditOf(alice) + pool.creditOf(requester), "nobody was wronged");
    }

    function test_one_wei_more_decides() public {
        staked(cat, BEN_STAKE - CAT_STAKE + 5); // a wei more of a lock
        claimVote();
        vote(caseId, NOT, STANDS, FALLS);
        resolve(Ruling.Falls);
        assertNothingLeft();
    }

    // ---------------------------------------------------------------- no quorum

    function test_no_quorum_repeats_at_double_length() public {
        claimVote();
        vote(caseId, NOT, FALLS, NOT); // 3 of 15; 5 would do
        vm.expectEmit();
        emit IAuditorPool.VoteResolved(caseId, 0, Ruling.Repeat, 0, 3 ether, 0, 75 ether);
        resolve(Ruling.Repeat);
        assertRuling(Ruling.None, caseId, 1);
        Case memory found = pool.caseOf(caseId);
        assertEq(1, found.attempt, "attempt");
        assertEq(block.timestamp, found.voteStart, "starts now");
        (uint40 start, uint40 commitEnd, uint40 revealEnd) = pool.windowsOf(caseId);
        assertEq(block.timestamp, start, "start");
        assertEq(block.timestamp + 2 * VOTE, commitEnd, "double");
        assertEq(block.timestamp + 4 * VOTE, revealEnd, "double");
        assertPhase(taskId, Phase.VotingCommit, false);
        assertEq(commitEnd, phaseEnd(), "the market agrees");
        assertEq(3 ether, pool.tallyOf(caseId, 0).committedWei, "the first tally stays");
        assertEq(0, pool.tallyOf(caseId, 1).committedWei, "the second is empty");
        // bonds wait
        expectNotResolved(caseId);
        pool.collectBond(caseId, fay);
        // the first vote's locks do not
        collectVote(ben, 3 ether, 0);
        expectNotResolved(caseId);
        pool.collectVote(caseId, 1, ben);
    }

    function test_ballot_of_the_first_vote_does_not_count_in_the_repeat() public {
        claimVote();
        bytes32 ballot = ballotOf(caseId, ann, FALLS);
        vote(caseId, NOT, NOT, NOT);
        resolve(Ruling.Repeat);
        vm.prank(ann);
        pool.commitVote(caseId, ballot);
        toReveal(caseId);
        vm.expectRevert();
        revealVote(caseId, ann, FALLS, 10 ether);
        toResolve(caseId);
        resolve(Ruling.NoQuorum);
    }

    function test_repeat_with_a_quorum_rules() public {
        claimVote();
        vote(caseId, NOT, FALLS, NOT);
        resolve(Ruling.Repeat);
        vote(caseId, FALLS, STANDS, NOT); // ben's lock of the first vote is still out: a fifth of 12
        assertEq(2.4 ether, pool.tallyOf(caseId, 1).standsWei, "what was free");
        resolve(Ruling.Falls);
        assertRuling(Ruling.Repeat, caseId, 0);
        assertRuling(Ruling.Falls, caseId, 1);
        uint256 votersWei = DEPOSIT - uint256(DEPOSIT) / 3 + 2.4 ether;
        collectVote(ben, 3 ether, 0);
        collectAgain(ben, 0, 0);
        collectAgain(ann, 10 ether, votersWei);
        collectBond(fay, DISPUTE_BOND + uint256(DEPOSIT) / 3 / 2);
        assertNothingLeft();
    }

    function test_no_quorum_twice_on_a_claim() public {
        claimVote();
        vote(caseId, NOT, NOT, FALLS);
        resolve(Ruling.Repeat);
        vote(caseId, NOT, FALLS, NOT);
        resolve(Ruling.NoQuorum);
        assertEq(2 * (DISPUTE_BOND / 10), pool.creditOf(alice), "a tenth of each bond");
        collectBond(fay, DISPUTE_BOND - DISPUTE_BOND / 10);
        collectBond(gus, DISPUTE_BOND - DISPUTE_BOND / 10);
        collectVote(cat, 2 ether, 0);
        collectAgain(ben, 3 ether, 0);
        assertPhase(taskId, Phase.Challenge, true);
        advance(taskId);
        assertPhase(taskId, Phase.Settled, false);
        assertNothingLeft();
    }

    function test_no_quorum_twice_on_a_test_set() public {
        testSetVote();
        vote(caseId, NOT, NOT, NOT);
        resolve(Ruling.Repeat);
        vote(caseId, NOT, NOT, NOT);
        resolve(Ruling.NoQuorum);
        assertEq(0, pool.creditOf(requester), "an impeachment costs nothing");
        collectBond(fay, DISPUTE_BOND);
        collectBond(gus, DISPUTE_BOND);
        assertPhase(taskId, Phase.Opening, false);
        assertNothingLeft();
    }

    function test_no_stake_at_the_snapshot_is_no_quorum() public {
        unstake(ann, ANN_STAKE);
        unstake(ben, BEN_STAKE);
        unstake(cat, CAT_STAKE);
        pass(1);
        claimVote();
        vote(caseId, NOT, NOT, NOT);
        resolve(Ruling.Repeat);
        vote(caseId, NOT, NOT, NOT);
        resolve(Ruling.NoQuorum);
        collectBond(fay, DISPUTE_BOND - DISPUTE_BOND / 10);
        collectBond(gus, DISPUTE_BOND - DISPUTE_BOND / 10);
        assertNothingLeft();
    }

    // ---------------------------------------------------------------- unrevealed

    function test_unrevealed_ballot_loses_its_lock_whatever_the_ruling() public {
        claimVote();
        unrevealedBy(cat, 2 ether, Ruling.Falls);
        assertEq(2 ether, waiting(), "it waits to be shared");
        assertEq(CAT_STAKE - 2 ether, activeOf(cat), "and is gone");
        expectNothing(cat);
        pool.collectVote(caseId, 0, cat);
        bytes32 ballot = ballotOf(caseId, cat, FALLS);
        expectNothing(cat);
        pool.recoverVote(caseId, 0, cat, ballot, 2 ether);
        assertEq(13 ether + 2 ether, pool.tallyOf(caseId, 0).committedWei, "the tally shows it");
        assertNothingLeft();
    }

    function test_unrevealed_ballot_of_a_repeated_vote_loses_its_lock() public {
        claimVote();
        toCommit(caseId);
        commitVote(caseId, cat, FALLS);
        toResolve(caseId);
        resolve(Ruling.Repeat);
        assertEq(2 ether, waiting(), "it waits to be shared");
        bytes32 disputeId = keccak256(abi.encode(caseId, uint256(0)));
        bytes32 ballot = keccak256(abi.encode(address(pool), disputeId, cat, uint256(FALLS), saltOf(cat)));
        expectNothing(cat);
        pool.recoverVote(caseId, 0, cat, ballot, 2 ether);
        assertNothingLeft();
    }

    // ---------------------------------------------------------------- collect

    function test_collect_before_the_ruling_reverts() public {
        claimVote();
        expectNotResolved(caseId);
        pool.collectBond(caseId, fay);
        vote(caseId, FALLS, FALLS, FALLS);
        expectNotResolved(caseId);
        pool.collectVote(caseId, 0, ann);
        expectNotResolved(caseId);
        pool.recoverVote(caseId, 0, ann, 0, 0);
    }

    function test_collect_of_nothing_or_twice_reverts() public {
        claimVote();
        vote(caseId, FALLS, FALLS, NOT);
        resolve(Ruling.Falls);
        pool.collectVote(caseId, 0, ann);
        expectNothing(ann);
        pool.collectVote(caseId, 0, ann);
        expectNothing(cat);
        pool.collectVote(caseId, 0, cat);
        expectNothing(ben);
        pool.collectVote(caseId, 1, ben); // there was no repeat
        expectNothing(ben);
        pool.collectVote(caseId, 255, ben);
        pool.collectBond(caseId, fay);
        expectNothing(fay);
        pool.collectBond(caseId, fay);
        expectNothing(ann);
        pool.collectBond(caseId, ann);
        assertTrue(!pool.hasFiled(caseId, fay), "nothing is left to collect");
    }

    function test_collect_in_an_unknown_case_reverts() public {
        bytes memory unknown = abi.encodeWithSelector(Errors.Pool_UnknownCase.selector, bytes32(uint256(1)));
        vm.expectRevert(unknown);
        pool.collectVote(bytes32(uint256(1)), 0, ann);
        vm.expectRevert(unknown);
        pool.recoverVote(bytes32(uint256(1)), 0, ann, 0, 0);
        vm.expectRevert(unknown);
        pool.collectBond(bytes32(uint256(1)), ann);
    }

    function test_lock_that_returns_after_leaving_can_leave_again() public {
        claimVote();
        toCommit(caseId);
        commitVote(caseId, ann, FALLS);
        unstake(ann, activeOf(ann));
        toReveal(caseId);
        revealVote(caseId, ann, FALLS, 10 ether);
        toResolve(caseId);
        resolve(Ruling.Falls);
        pool.collectVote(caseId, 0, ann);
        assertEq(10 ether, activeOf(ann), "into the stake");
        assertEq(10 ether, pool.stakeAt(ann, uint40(block.timestamp)), "and its trace");
        assertEq(totalActive(), pool.totalStakeAt(uint40(block.timestamp)), "and the total's");
        assertNothingLeft();
    }

    /// @dev Any verdicts, revealed or not, any order of collecting: every wei is somebody's.
    function testFuzz_whatever_the_vote_everything_is_paid_out(uint8[3] memory says, bool[3] memory opens, bool isClaim)
        public
    {
        if (isClaim) claimVote();
        else testSetVote();
        for (uint256 attempt; attempt < 2; ++attempt) {
            toCommit(caseId);
            address[3] memory voters = [ann, ben, cat];
            uint256[3] memory locks;
            for (uint256 i; i < 3; ++i) {
                locks[i] = pool.lockFor(caseId, voters[i]);
                if (says[i] % 4 != 0) commitVote(caseId, voters[i], Verdict(says[i] % 4));
            }
            toReveal(caseId);
            for (uint256 i; i < 3; ++i) {
                if (says[i] % 4 != 0 && opens[i]) revealVote(caseId, voters[i], Verdict(says[i] % 4), locks[i]);
            }
            toResolve(caseId);
            advance(taskId);
            if (pool.caseOf(caseId).ruling != Ruling.None) break;
        }
        assertTrue(pool.caseOf(caseId).ruling != Ruling.None, "ruled at last");
        assertNothingLeft();
    }

    // ---------------------------------------------------------------- help

    /// @dev Alice's opened claim, disputed by Fay and Gus.
    function claimVote() private {
        Work memory entry = openClaim();
        taskId = entry.proof.taskId;
        caseId = dispute(fay, taskId);
        dispute(gus, taskId);
    }

    /// @dev A test set, impeached by Fay and Gus, with one committer.
    function testSetVote() private {
        Work memory entry = revealing();
        reveal(entry);
        taskId = entry.proof.taskId;
        caseId = impeach(fay, taskId);
        impeach(gus, taskId);
    }

    /// @dev A claim for a bounty of 61 wei, disputed by Fay alone: a bond of 7 wei.
    function tinyVote() private {
        Terms memory values = terms(1);
        (values.bountyWei, values.depositWei, values.bondWei) = (61, 7, 7);
        taskId = post(values, 1);
        Work memory entry = work(ALICE, taskId, 0, 900, "alice");
        opened(entry);
        vm.prank(fay);
        caseId = pool.dispute{value: 7}(taskId, 1, 0, new uint40[](0));
    }

    function unrevealedBy(address voter, uint256 lockWei, Ruling ruling) private {
        toCommit(caseId);
        assertEq(lockWei, pool.lockFor(caseId, voter), "lock");
        commitVote(caseId, ann, FALLS);
        commitVote(caseId, ben, STANDS);
        commitVote(caseId, voter, FALLS);
        toReveal(caseId);
        revealVote(caseId, ann, FALLS, 10 ether);
        revealVote(caseId, ben, STANDS, 3 ether);
        toResolve(caseId);
        resolve(ruling);
    }

    function resolve(Ruling expected) private {
        uint8 attempt = pool.caseOf(caseId).attempt;
        advance(taskId);
        assertRuling(expected, caseId, attempt);
        assertSolvent();
    }

    function collectVote(address voter, uint256 lockWei, uint256 shareWei) private {
        collect(voter, 0, lockWei, shareWei);
    }

    function collectAgain(address voter, uint256 lockWei, uint256 shareWei) private {
        collect(voter, 1, lockWei, shareWei);
    }

    function collect(address voter, uint8 attempt, uint256 lockWei, uint256 shareWei) private {
        (uint256 activeWei, uint256 creditWei) = (activeOf(voter), pool.creditOf(voter));
        vm.expectEmit();
        emit IAuditorPool.VoteCollected(caseId, attempt, voter, lockWei, shareWei);
        vm.prank(keeper);
        pool.collectVote(caseId, attempt, voter);
        assertEq(activeWei + lockWei, activeOf(voter), "the lock is active stake again");
        assertEq(creditWei + shareWei, pool.creditOf(voter), "the share is credited");
        assertSolvent();
    }

    function collectBond(address filer, uint256 amountWei) private {
        vm.expectEmit();
        emit IAuditorPool.BondCollected(caseId, filer, amountWei);
        vm.prank(keeper);
        pool.collectBond(caseId, filer);
        assertEq(amountWei, pool.creditOf(filer), "credited");
        assertSolvent();
    }

    function assertPots(uint256 potWei, uint256 winnersWei, uint256 filerPotWei, uint256 filersLeft) private view {
        Case memory case_ = pool.caseOf(caseId);
        Tally memory tally = pool.tallyOf(caseId, case_.attempt);
        assertEq(potWei, tally.potWei, "pot");
        assertEq(winnersWei, tally.winnersWei, "winners");
        assertEq(filerPotWei, case_.filerPotWei, "filers' pot");
        assertEq(filersLeft, case_.filersLeft, "filers left");
    }

    /// @dev Collects whatever is left, and sees everybody leave.
    function assertNothingLeft() private {
        address[5] memory people = [ann, ben, cat, fay, gus];
        for (uint256 i; i < people.length; ++i) {
            for (uint8 attempt; attempt < 2; ++attempt) {
                if (isOpened(pool.ballotOf(caseId, attempt, people[i]))) pool.collectVote(caseId, attempt, people[i]);
            }
            if (pool.hasFiled(caseId, people[i]) && pool.caseOf(caseId).ruling != Ruling.Stands) {
                if (pool.caseOf(caseId).ruling != Ruling.None) pool.collectBond(caseId, people[i]);
            }
        }
        Case memory case_ = pool.caseOf(caseId);
        if (case_.ruling != Ruling.None) assertPots(0, 0, 0, 0);
        else finishCase();
        assertEmptyAfterLeaving();
    }

    /// @dev A repeat that still runs is let run out.
    function finishCase() private {
        toResolve(caseId);
        advance(taskId);
        pool.collectBond(caseId, fay);
        pool.collectBond(caseId, gus);
    }

    function isOpened(bytes32 stored) private pure returns (bool) {
        return stored != 0 && uint256(stored) < 2 ** 104;
    }

    function phaseEnd() private view returns (uint40 endsAt) {
        (,, endsAt) = market.phaseOf(taskId);
    }
}
