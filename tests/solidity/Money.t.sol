// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TaskMarket} from "../../contracts/TaskMarket.sol";
import {ILedger} from "../../contracts/interfaces/ILedger.sol";
import {ITaskMarket} from "../../contracts/interfaces/ITaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Scenario} from "./Scenario.sol";

/// reclaim
/// ├── given an unknown task or no deposit: it should revert
/// ├── given a warm round
/// │   ├── given no reveal: it should revert, locked
/// │   ├── given a qualifying claim: it should revert, locked until the round is cold (P-61)
/// │   ├── given a claim that does not qualify, before revealEnd: it should revert, locked until then
/// │   └── given a claim that does not qualify, from revealEnd: it should credit the deposit
/// ├── given a cold round and no reveal: it should revert
/// └── given a cold round and a reveal: it should credit the deposit once, for any caller
/// withdraw, withdrawTo
/// ├── given no credit: it should revert
/// ├── when the receiver refuses ether: it should revert, and withdrawTo another address works
/// ├── when the receiver calls back: the inner call should revert, and it is paid once
/// ├── when withdrawing to zero or to the market: it should revert
/// ├── withdraw by anyone: it should pay the account
/// └── withdrawTo: it should pay the other address
/// money that nobody owes
/// ├── a plain transfer to the market: it should revert
/// └── forced ether: it should change no liability (P-62)
contract MoneyTest is Scenario {
    uint256 private taskId;

    function setUp() public override {
        super.setUp();
        taskId = post(1);
    }

    // ---------------------------------------------------------------- reclaim

    function test_reclaim_of_an_unknown_task_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_UnknownTask.selector, 9));
        market.reclaim(9, 0, alice);
    }

    function test_reclaim_without_a_deposit_reverts() public {
        expectNothing(alice);
    }

    function test_reclaim_before_the_reveal_reverts() public {
        commit(work(ALICE, taskId, 0, 900, "a"));
        expectLocked(alice, 0);
    }

    function test_reclaim_of_a_qualifying_claim_in_a_warm_round_reverts() public {
        Work memory a = work(ALICE, taskId, 0, 900, "a");
        Work memory b = work(BOB, taskId, 0, 800, "b");
        commit(b);
        released(a);
        reveal(a);
        reveal(b);
        toRevealEnd(taskId);
        expectLocked(alice, 0);
        expectLocked(bob, 0);
    }

    function test_reclaim_of_a_loser_before_revealEnd_reverts() public {
        Work memory w = work(ALICE, taskId, 0, 100, "a");
        released(w);
        reveal(w);
        vm.warp(roundOf(taskId).revealEnd - 1);
        expectLocked(alice, roundOf(taskId).revealEnd);
    }

    function test_reclaim_of_a_loser_from_revealEnd() public {
        Work memory w = work(ALICE, taskId, 0, 100, "a");
        released(w);
        reveal(w);
        toRevealEnd(taskId);
        market.reclaim(taskId, 0, alice);
        assertEq(DEPOSIT, market.creditOf(alice), "credit");
        expectNothing(alice);
    }

    function test_reclaim_of_an_unrevealed_deposit_in_a_cold_round_reverts() public {
        commit(work(BOB, taskId, 0, 800, "silent"));
        settled(work(ALICE, taskId, 0, 900, "a"));
        expectNothing(bob);
    }

    function test_reclaim_in_a_cold_round_by_anyone() public {
        Work memory b = work(BOB, taskId, 0, 800, "b");
        Work memory a = work(ALICE, taskId, 0, 900, "a");
        commit(b);
        released(a);
        reveal(b);
        reveal(a);
        toRevealEnd(taskId);
        open(a);
        toEnd(taskId);
        advance(taskId);
        vm.expectEmit();
        emit ITaskMarket.DepositReclaimed(taskId, 0, bob, DEPOSIT);
        vm.prank(keeper);
        market.reclaim(taskId, 0, bob);
        assertEq(DEPOSIT, market.creditOf(bob), "credit");
        expectNothing(bob);
    }

    // ---------------------------------------------------------------- withdraw

    function test_withdraw_of_nothing_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_NothingToWithdraw.selector, alice));
        market.withdraw(alice);
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_NothingToWithdraw.selector, alice));
        vm.prank(alice);
        market.withdrawTo(bob);
    }

    function test_withdraw_by_anyone_pays_the_account() public {
        uint256 credit = cancelled();
        uint256 before = requester.balance;
        vm.expectEmit();
        emit ILedger.Withdrawn(requester, requester, credit);
        vm.prank(keeper);
        market.withdraw(requester);
        assertEq(credit, requester.balance - before, "paid");
        assertEq(0, market.creditOf(requester), "credit");
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_NothingToWithdraw.selector, requester));
        market.withdraw(requester);
    }

    function test_withdrawTo_pays_the_other_address() public {
        uint256 credit = cancelled();
        vm.prank(requester);
        market.withdrawTo(address(0xBEEF01));
        assertEq(credit, address(0xBEEF01).balance, "paid");
        (uint256 lockedWei, uint256 creditedWei) = market.liabilities();
        assertEq(0, lockedWei + creditedWei, "liabilities");
    }

    function test_withdrawTo_zero_or_the_market_reverts() public {
        uint256 credit = cancelled();
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_ZeroAddress.selector));
        vm.prank(requester);
        market.withdrawTo(address(0));
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_TransferFailed.selector, address(market), credit));
        vm.prank(requester);
        market.withdrawTo(address(market));
    }

    function test_withdraw_to_a_receiver_that_refuses() public {
        Refuser refuser = new Refuser(market);
        vm.deal(address(refuser), 100 ether);
        uint256 credit = refuser.postAndCancel(value(terms(1), 1), abi.encode(terms(1), commitmentsOf(1)));
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_TransferFailed.selector, address(refuser), credit));
        market.withdraw(address(refuser));
        assertEq(credit, market.creditOf(address(refuser)), "the credit stays");
        refuser.withdrawTo(address(0xBEEF02));
        assertEq(credit, address(0xBEEF02).balance, "paid elsewhere");
    }

    function test_withdraw_to_a_receiver_that_calls_back() public {
        Reentrant reentrant = new Reentrant(market);
        vm.deal(address(reentrant), 100 ether);
        uint256 credit = reentrant.postAndCancel(value(terms(1), 1), abi.encode(terms(1), commitmentsOf(1)));
        uint256 before = address(reentrant).balance;
        market.withdraw(address(reentrant));
        assertTrue(reentrant.innerReverted(), "the inner call reverts");
        assertEq(credit, address(reentrant).balance - before, "INV-ONCE: paid once");
    }

    // ---------------------------------------------------------------- money that nobody owes

    function test_plain_transfer_is_refused() public {
        vm.prank(alice);
        (bool isAccepted,) = address(market).call{value: 1 ether}("");
        assertTrue(!isAccepted, "no receive function");
    }

    function test_forced_ether_changes_no_liability() public {
        (uint256 lockedBefore, uint256 creditedBefore) = market.liabilities();
        vm.deal(address(market), address(market).balance + 3 ether);
        (uint256 lockedWei, uint256 creditedWei) = market.liabilities();
        assertEq(lockedBefore, lockedWei, "locked");
        assertEq(creditedBefore, creditedWei, "credited");
        assertEq(lockedWei + creditedWei + 3 ether, address(market).balance, "INV-SOLVENT: with the surplus");
        cancelled();
        market.withdraw(requester);
        assertEq(3 ether, address(market).balance, "only the forced ether stays");
    }

    // ---------------------------------------------------------------- help

    function cancelled() private returns (uint256 credit) {
        vm.prank(requester);
        market.cancel(taskId);
        return market.creditOf(requester);
    }

    function expectNothing(address miner) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NothingToReclaim.selector, miner));
        market.reclaim(taskId, 0, miner);
    }

    function expectLocked(address miner, uint256 until) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_DepositLocked.selector, miner, until));
        market.reclaim(taskId, 0, miner);
    }
}

/// @dev A requester without a receive function.
contract Refuser {
    TaskMarket internal immutable MARKET;

    constructor(TaskMarket market) {
        MARKET = market;
    }

    function postAndCancel(uint256 valueWei, bytes calldata arguments) external returns (uint256 credit) {
        (bool isPosted, bytes memory answer) =
            address(MARKET).call{value: valueWei}(abi.encodePacked(MARKET.post.selector, arguments));
        require(isPosted, "post");
        MARKET.cancel(abi.decode(answer, (uint256)));
        return MARKET.creditOf(address(this));
    }

    function withdrawTo(address to) external {
        MARKET.withdrawTo(to);
    }
}

/// @dev A requester that tries to be paid twice.
contract Reentrant is Refuser {
    bool public innerReverted;

    constructor(TaskMarket market) Refuser(market) {}

    receive() external payable {
        try MARKET.withdraw(address(this)) {}
        catch {
            innerReverted = true;
        }
    }
}
