// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAuditorPool} from "../../contracts/interfaces/IAuditorPool.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Stake, Verdict} from "../../contracts/types/Task.sol";
import {PoolScenario} from "./PoolScenario.sol";

/// Given auditors with stakes
/// ├── when value is staked
/// │   ├── it should pend, be locked, and become active by anyone's call from readyAt on
/// │   ├── of nothing, it should revert
/// │   ├── on top of a pending stake, it should start the wait again for all of it
/// │   └── on top of a ready one, it should activate that first
/// ├── when stake is taken out
/// │   ├── it should take pending first, then active
/// │   ├── it should stop earning and voting at once, and be credited after the unbonding period
/// │   ├── of nothing or more than there is, it should revert
/// │   └── a second time, it should start the period again for all of it
/// ├── when stakes of past moments are asked for
/// │   ├── it should answer what was active then, also within a second
/// │   └── before the first, it should answer nothing
/// └── when the market pays fees
///     ├── it should share them by active stake, and keep what cannot be shared
///     ├── with no active stake, it should keep them waiting
///     ├── it should not let a late stake buy into them
///     ├── it should book them even if a stranger makes the market pay
///     ├── it should weigh what is paid by votes revealed and collected, and return the rest
///     ├── it should hold nobody to votes from before its time, and nobody back from votes of before an absence
///     └── it should pay every wei it shared to somebody, up to rounding that returns when all leave
contract PoolStakeTest is PoolScenario {
    // ---------------------------------------------------------------- stake, activate

    function test_stake_pends_locks_and_emits() public {
        (uint256 lockedBefore,) = pool.liabilities();
        uint40 readyAt = uint40(block.timestamp + ACTIVATION);
        vm.expectEmit();
        emit IAuditorPool.Staked(fay, 3 ether, readyAt);
        stake(fay, 3 ether);
        Stake memory found = pool.stakeOf(fay);
        assertEq(3 ether, found.pendingWei, "pending");
        assertEq(readyAt, found.readyAt, "readyAt");
        assertEq(0, found.activeWei, "not active yet");
        (uint256 lockedWei,) = pool.liabilities();
        assertEq(lockedBefore + 3 ether, lockedWei, "locked");
        assertSolvent();
    }

    function test_stake_of_nothing_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_ZeroAmount.selector));
        stake(fay, 0);
    }

    function test_stake_beyond_what_the_ledger_holds_reverts() public {
        (uint256 lockedWei, uint256 creditedWei) = pool.liabilities();
        uint256 room = type(uint96).max - lockedWei - creditedWei;
        vm.deal(fay, room + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                Errors.Ledger_AmountTooLarge.selector, uint256(type(uint96).max) + 1, uint256(type(uint96).max)
            )
        );
        stake(fay, room + 1);
        stake(fay, room);
        pass(ACTIVATION);
        pool.activate(fay);
        assertEq(room, activeOf(fay), "the most there can be");
        feedCredit();
        unstake(fay, room);
        pass(UNBONDING);
        pool.finishUnstake(fay);
        pool.withdraw(fay);
        assertEq(room + 1, fay.balance, "and out again");
    }

    function test_activate_by_anyone_from_readyAt_on() public {
        stake(fay, 3 ether);
        uint40 readyAt = pool.stakeOf(fay).readyAt;
        vm.warp(readyAt - 1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NotReady.selector, readyAt - 1, readyAt));
        pool.activate(fay);
        vm.warp(readyAt);
        vm.expectEmit();
        emit IAuditorPool.StakeActivated(fay, 3 ether, 3 ether);
        vm.prank(keeper);
        pool.activate(fay);
        Stake memory found = pool.stakeOf(fay);
        assertEq(3 ether, found.activeWei, "active");
        assertEq(0, found.pendingWei, "nothing pends");
        assertEq(uint256(readyAt) + UNBONDING, found.countedFrom, "held to votes from a whole dispute later on");
        assertEq(ANN_STAKE + BEN_STAKE + CAT_STAKE + 3 ether, totalActive(), "total");
    }

    function test_activate_of_nothing_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NothingPending.selector, fay));
        pool.activate(fay);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NothingPending.selector, ann));
        pool.activate(ann);
    }

    function test_stake_on_top_of_a_pending_one_starts_the_wait_again() public {
        stake(fay, 3 ether);
        pass(ACTIVATION - 1);
        stake(fay, 1 ether);
        pass(1);
        uint40 readyAt = pool.stakeOf(fay).readyAt;
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NotReady.selector, block.timestamp, readyAt));
        pool.activate(fay);
        vm.warp(readyAt);
        pool.activate(fay);
        assertEq(4 ether, activeOf(fay), "all of it");
    }

    function test_stake_on_top_of_a_ready_one_activates_that() public {
        stake(fay, 3 ether);
        pass(ACTIVATION);
        stake(fay, 1 ether);
        assertEq(3 ether, activeOf(fay), "the ready part");
        assertEq(1 ether, pool.stakeOf(fay).pendingWei, "the new part");
        pass(ACTIVATION);
        pool.activate(fay);
        assertEq(4 ether, activeOf(fay), "both");
        assertEq(T0 + ACTIVATION + 1 days + ACTIVATION + UNBONDING, pool.stakeOf(fay).countedFrom, "from the first");
    }

    // ---------------------------------------------------------------- unstake

    function test_unstake_takes_pending_before_active() public {
        stake(ann, 3 ether);
        unstake(ann, 2 ether);
        assertEq(1 ether, pool.stakeOf(ann).pendingWei, "pending first");
        assertEq(ANN_STAKE, activeOf(ann), "active untouched");
        assertEq(ANN_STAKE, pool.stakeAt(ann, uint40(block.timestamp)), "no trace of it");
        vm.expectEmit();
        emit IAuditorPool.UnstakeBegun(ann, 5 ether, uint40(block.timestamp + UNBONDING));
        unstake(ann, 5 ether);
        assertEq(0, pool.stakeOf(ann).pendingWei, "then the rest");
        assertEq(ANN_STAKE - 4 ether, activeOf(ann), "of active");
        assertEq(7 ether, pool.stakeOf(ann).unbondingWei, "both unbond");
        assertEq(ANN_STAKE - 4 ether, pool.stakeAt(ann, uint40(block.timestamp)), "own trace");
        assertEq(totalActive(), pool.totalStakeAt(uint40(block.timestamp)), "total trace");
    }

    function test_unstake_of_nothing_or_too_much_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_ZeroAmount.selector));
        unstake(ann, 0);
        stake(ann, 3 ether);
        vm.expectRevert(
            abi.encodeWithSelector(Errors.Pool_TooLittleStake.selector, ANN_STAKE + 3 ether + 1, ANN_STAKE + 3 ether)
        );
        unstake(ann, ANN_STAKE + 3 ether + 1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_TooLittleStake.selector, type(uint256).max, 0));
        unstake(fay, type(uint256).max);
        unstake(ann, ANN_STAKE + 3 ether);
        assertEq(0, activeOf(ann), "all of it at once");
    }

    function test_finishUnstake_credits_from_freeAt_on() public {
        unstake(ann, 5 ether);
        uint40 freeAt = pool.stakeOf(ann).freeAt;
        vm.warp(freeAt - 1);
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NotReady.selector, freeAt - 1, freeAt));
        pool.finishUnstake(ann);
        vm.warp(freeAt);
        vm.expectEmit();
        emit IAuditorPool.UnstakeFinished(ann, 5 ether);
        vm.prank(keeper);
        pool.finishUnstake(ann);
        assertEq(5 ether, pool.creditOf(ann), "credited");
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NothingUnbonding.selector, ann));
        pool.finishUnstake(ann);
    }

    function test_unstake_again_starts_the_period_again() public {
        unstake(ann, 5 ether);
        pass(UNBONDING - 1);
        unstake(ann, 1 ether);
        pass(1);
        uint40 freeAt = pool.stakeOf(ann).freeAt;
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NotReady.selector, block.timestamp, freeAt));
        pool.finishUnstake(ann);
        vm.warp(freeAt);
        pool.finishUnstake(ann);
        assertEq(6 ether, pool.creditOf(ann), "all of it");
    }

    // ---------------------------------------------------------------- traces

    function test_stakeAt_is_what_was_active_then() public {
        uint40 start = uint40(block.timestamp);
        pass(100);
        unstake(ann, 10 ether);
        unstake(ann, 5 ether); // in the same second
        pass(100);
        unstake(ann, 1 ether);
        assertEq(0, pool.stakeAt(ann, uint40(T0 + ACTIVATION - 1)), "before its first");
        assertEq(ANN_STAKE, pool.stakeAt(ann, uint40(T0 + ACTIVATION)), "from its first second on");
        assertEq(ANN_STAKE, pool.stakeAt(ann, start + 99), "until the next");
        assertEq(ANN_STAKE - 15 ether, pool.stakeAt(ann, start + 100), "the last of its second");
        assertEq(ANN_STAKE - 15 ether, pool.stakeAt(ann, start + 199), "until the next");
        assertEq(ANN_STAKE - 16 ether, pool.stakeAt(ann, type(uint40).max), "and on");
        uint256 others = BEN_STAKE + CAT_STAKE;
        assertEq(0, pool.totalStakeAt(uint40(T0 + ACTIVATION - 1)), "total before");
        assertEq(ANN_STAKE + others, pool.totalStakeAt(start), "total then");
        assertEq(ANN_STAKE - 15 ether + others, pool.totalStakeAt(start + 150), "total in between");
        assertEq(ANN_STAKE - 16 ether + others, pool.totalStakeAt(start + 200), "total now");
        assertEq(0, pool.stakeAt(fay, type(uint40).max), "nobody's");
    }

    // ---------------------------------------------------------------- dividends

    function test_fees_of_a_settled_round_are_shared_by_stake() public {
        Work memory entry = openClaim();
        toEnd(entry.proof.taskId);
        advance(entry.proof.taskId);
        uint256 feeWei = BOUNTY * FEE_BPS / 1e4;
        vm.expectEmit();
        emit IAuditorPool.FeesCollected(feeWei);
        pool.collectFees();
        assertEq(shareOf(feeWei, ANN_STAKE, 75 ether), accruedOf(ann), "ann");
        assertEq(shareOf(feeWei, BEN_STAKE, 75 ether), accruedOf(ben), "ben");
        assertEq(0, accruedOf(fay), "no stake, no share");
        claimDividends(ann);
        assertEq(shareOf(feeWei, ANN_STAKE, 75 ether), pool.creditOf(ann), "no vote was held, so all of it is paid");
        assertSolvent();
    }

    function test_collectFees_with_nothing_to_collect_changes_nothing() public {
        pool.collectFees();
        assertEq(0, waiting(), "nothing waits");
        assertEq(0, accruedOf(ann), "nothing is earned");
    }

    function test_fees_without_stakers_wait() public {
        unstake(ann, ANN_STAKE);
        unstake(ben, BEN_STAKE);
        unstake(cat, CAT_STAKE);
        feed(5 ether);
        pool.collectFees();
        assertEq(5 ether, waiting(), "they wait");
        staked(fay, 1 ether);
        assertEq(5 ether, waiting(), "the first to come does not find them shared");
        pool.collectFees();
        assertEq(0, waiting(), "from then on they are shared");
        assertEq(5 ether, accruedOf(fay), "by who is there");
    }

    function test_late_stake_does_not_buy_into_old_fees() public {
        stake(fay, 75 ether);
        pass(ACTIVATION);
        feed(3 ether);
        pool.activate(fay);
        assertEq(shareOf(3 ether, ANN_STAKE, 75 ether), accruedOf(ann), "ann's share of what came before");
        assertEq(0, accruedOf(fay), "none of it is fay's");
        uint256 restWei = waiting();
        feed(3 ether);
        pool.collectFees();
        assertEq(shareOf(restWei + 3 ether, 75 ether, 150 ether), accruedOf(fay), "half of what came later");
    }

    function test_unbonding_stake_earns_nothing() public {
        unstake(ann, ANN_STAKE);
        feed(5 ether);
        pool.collectFees();
        assertEq(0, accruedOf(ann), "nothing");
        assertEq(shareOf(5 ether, BEN_STAKE, 25 ether), accruedOf(ben), "the others share");
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NothingAccrued.selector, ann));
        claimDividends(ann);
    }

    function test_withdrawal_for_the_pool_by_a_stranger_is_booked() public {
        Work memory entry = openClaim();
        toEnd(entry.proof.taskId);
        advance(entry.proof.taskId);
        vm.prank(keeper);
        market.withdraw(address(pool));
        assertEq(BOUNTY * FEE_BPS / 1e4, waiting(), "it waits to be shared");
        assertSolvent();
    }

    function test_what_does_not_divide_waits() public {
        feed(1);
        pool.collectFees();
        assertEq(0, accruedOf(ann) + accruedOf(ben) + accruedOf(cat), "nobody can have a third of a wei");
        feed(1_000_000_007);
        pool.collectFees();
        uint256 earned = accruedOf(ann) + accruedOf(ben) + accruedOf(cat);
        vm.assertLe(earned, 1_000_000_008, "no more than came");
        vm.assertGe(earned + 6, 1_000_000_008, "and not much less");
        unstake(ann, ANN_STAKE);
        unstake(ben, BEN_STAKE);
        unstake(cat, CAT_STAKE);
        assertEq(1_000_000_008, accruedOf(ann) + accruedOf(ben) + accruedOf(cat) + waiting(), "rounding waits again");
        assertEmptyAfterLeaving();
    }

    function testFuzz_dividends_are_never_more_than_fees(uint96[6] memory fees, uint96[6] memory moves) public {
        uint256 fed;
        for (uint256 i; i < 6; ++i) {
            address auditor = [ann, ben, cat][moves[i] % 3];
            uint256 feeWei = within(fees[i], 0, 10 ether);
            fed += feeWei;
            feed(feeWei);
            pool.collectFees();
            uint256 activeWei = activeOf(auditor);
            if (activeWei != 0) unstake(auditor, within(moves[i], 1, activeWei));
            if (moves[i] % 2 == 0 && accruedOf(auditor) != 0) {
                uint256 before = pool.creditOf(auditor);
                claimDividends(auditor);
                fed -= pool.creditOf(auditor) - before;
            }
        }
        uint256 owed = accruedOf(ann) + accruedOf(ben) + accruedOf(cat) + waiting();
        vm.assertLe(owed, fed, "INV-DIVIDENDS: at most what came");
        vm.assertGe(owed + 100, fed, "INV-DIVIDENDS: but for rounding");
        assertEmptyAfterLeaving();
    }

    // ---------------------------------------------------------------- participation

    function test_dividends_are_weighed_by_votes_collected() public {
        Work memory entry;
        bytes32 first;
        bytes32 second;
        pass(UNBONDING); // from now on votes count
        (entry, first) = disputed();
        vote(first, Verdict.Stands, Verdict.Stands, Verdict.None);
        advance(entry.proof.taskId);
        (entry, second) = disputed();
        vote(second, Verdict.Stands, Verdict.None, Verdict.None);
        advance(entry.proof.taskId);
        pool.collectVote(first, 0, ann);
        pool.collectVote(second, 0, ann);
        pool.collectVote(first, 0, ben);
        assertVotes(ann, 2, 2);
        assertVotes(ben, 1, 2);
        assertVotes(cat, 0, 2);
        unstake(ann, activeOf(ann) - 1 ether);
        unstake(ben, activeOf(ben) - 1 ether);
        unstake(cat, activeOf(cat) - 1 ether);
        feed(3 ether);
        pool.collectFees();
        uint256 third = shareOf(3 ether, 1 ether, 3 ether);
        assertEq(third, accruedOf(ann), "a third");
        uint256 credited = pool.creditOf(ann);
        claimDividends(ann);
        assertEq(third, pool.creditOf(ann) - credited, "took part in both: all of it");
        uint256 accruedWei = accruedOf(ben);
        credited = pool.creditOf(ben);
        uint256 before = waiting();
        vm.expectEmit();
        emit IAuditorPool.DividendPaid(ben, accruedWei / 2, accruedWei - accruedWei / 2, 1, 2);
        claimDividends(ben);
        assertEq(accruedWei / 2, pool.creditOf(ben) - credited, "took part in one of two: half of it");
        assertEq(before + accruedWei - accruedWei / 2, waiting(), "the rest waits");
        accruedWei = accruedOf(cat);
        before = waiting();
        claimDividends(cat);
        assertEq(0, pool.creditOf(cat), "took part in none: nothing");
        assertEq(before + accruedWei, waiting(), "all of it waits");
        assertVotes(ben, 0, 0);
        assertEq(block.timestamp, pool.stakeOf(ben).countedFrom, "counted anew from now on");
        assertEmptyAfterLeaving();
    }

    function test_votes_from_before_its_time_count_against_nobody() public {
        (Work memory entry, bytes32 caseId) = disputed();
        vote(caseId, Verdict.Stands, Verdict.None, Verdict.None);
        advance(entry.proof.taskId);
        assertVotes(ben, 0, 0); // ben joined less than an unbonding period ago
        feed(7.5 ether);
        pool.collectFees();
        uint256 accruedWei = accruedOf(ben);
        claimDividends(ben);
        assertEq(accruedWei, pool.creditOf(ben), "all of it is paid");
        assertEq(T0 + ACTIVATION + UNBONDING, pool.stakeOf(ben).countedFrom, "and the moment stays where it was");
    }

    function test_vote_resolved_later_than_an_unbonding_after_its_snapshot_does_not_count() public {
        pass(UNBONDING);
        (Work memory entry, bytes32 caseId) = disputed();
        vote(caseId, Verdict.Stands, Verdict.None, Verdict.None);
        vm.warp(pool.caseOf(caseId).snapshotAt + UNBONDING + 1);
        advance(entry.proof.taskId);
        assertVotes(ben, 0, 0);
    }

    function test_vote_resolved_an_unbonding_after_its_snapshot_counts() public {
        pass(UNBONDING);
        (Work memory entry, bytes32 caseId) = disputed();
        vote(caseId, Verdict.Stands, Verdict.None, Verdict.None);
        vm.warp(pool.caseOf(caseId).snapshotAt + UNBONDING);
        advance(entry.proof.taskId);
        assertVotes(ben, 0, 1);
    }

    function test_leaving_and_coming_back_does_not_forgive_missed_votes() public {
        pass(UNBONDING);
        feed(7.5 ether);
        pool.collectFees();
        (Work memory entry, bytes32 caseId) = disputed();
        vote(caseId, Verdict.Stands, Verdict.None, Verdict.None);
        advance(entry.proof.taskId);
        unstake(ben, BEN_STAKE);
        staked(ben, 1);
        assertVotes(ben, 0, 1);
        claimDividends(ben);
        assertEq(0, pool.creditOf(ben), "nothing for who took no part");
        unstake(ben, 1);
        staked(ben, 1 ether);
        assertEq(block.timestamp + UNBONDING, pool.stakeOf(ben).countedFrom, "with nothing accrued it is a new start");
    }

    // ---------------------------------------------------------------- help

    /// @dev Of fees that are shared at once: whole dividends per staked wei in 64 binary digits, then rounded down.
    function shareOf(uint256 feeWei, uint256 activeWei, uint256 totalWei) private pure returns (uint256) {
        return activeWei * (feeWei * 2 ** 64 / totalWei) / 2 ** 64;
    }

    function assertVotes(address auditor, uint256 ballots, uint256 votes) private view {
        (, uint256 foundBallots, uint256 foundVotes) = pool.dividendOf(auditor);
        assertEq(ballots, foundBallots, "ballots");
        assertEq(votes, foundVotes, "votes");
    }

    /// @dev Fees that find no room must not keep anybody from leaving.
    function feedCredit() private {
        vm.deal(address(market), 1);
        vm.prank(address(market));
        (bool isTaken,) = address(pool).call{value: 1}("");
        assertTrue(!isTaken, "no room for fees");
    }
}
