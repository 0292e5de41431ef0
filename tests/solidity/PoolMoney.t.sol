// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AuditorPool} from "../../contracts/AuditorPool.sol";
import {ILedger} from "../../contracts/interfaces/ILedger.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {
    ClaimRef,
    LabelProof,
    Params,
    PoolParams,
    PredictionLeaf,
    Ruling,
    SumNode,
    Verdict
} from "../../contracts/types/Task.sol";
import {PoolScenario} from "./PoolScenario.sol";

/// Given a pool
/// ├── when it is deployed
/// │   ├── it should say its parameters, its market and its rules
/// │   ├── with a parameter out of bounds, it should revert; at its bounds, not
/// │   └── for a market that names another pool, it should revert
/// ├── when a credit is withdrawn
/// │   ├── it should be for the account by anyone, or by the account to anywhere but nowhere
/// │   ├── by a receiver that refuses, it should stay, and block nobody else
/// │   └── by a receiver that calls every function back, it should be paid once and nothing else should move
/// └── when ether comes that nobody announced
///     ├── it should be refused but from the market
///     └── forced in, it should change no liability
contract PoolMoneyTest is PoolScenario {
    // ---------------------------------------------------------------- deployment

    function test_pool_says_what_it_was_deployed_with() public view {
        PoolParams memory found = pool.poolParams();
        assertEq(ACTIVATION, found.activationSeconds, "activation");
        assertEq(UNBONDING, found.unbondingSeconds, "unbonding");
        assertEq(LOCK_BPS, found.lockBps, "lockBps");
        assertEq(DEMAND_BOND, found.demandBondWei, "demand bond");
        assertEq(address(market), address(pool.market()), "market");
        assertTrue(address(pool.rules()).code.length != 0, "rules");
        assertLeBytes(address(pool).code.length, "pool");
        assertLeBytes(address(pool.rules()).code.length, "rules");
    }

    function test_parameters_at_their_bounds() public {
        tryDeploy(PoolParams(MAX_CHALLENGE, MAX_CHALLENGE + 6 * VOTE, 1, 1));
        tryDeploy(PoolParams(730 days, 730 days, 10_000, type(uint96).max));
    }

    function test_parameters_out_of_bounds_revert() public {
        PoolParams memory values = poolParams();
        values.activationSeconds = MAX_CHALLENGE - 1;
        expectOutOfBounds("activationSeconds", MAX_CHALLENGE - 1, MAX_CHALLENGE, 730 days);
        this.tryDeploy(values);
        values.activationSeconds = 730 days + 1;
        expectOutOfBounds("activationSeconds", 730 days + 1, MAX_CHALLENGE, 730 days);
        this.tryDeploy(values);
        values = poolParams();
        uint256 longest = MAX_CHALLENGE + 6 * VOTE;
        values.unbondingSeconds = uint32(longest - 1);
        expectOutOfBounds("unbondingSeconds", longest - 1, longest, 730 days);
        this.tryDeploy(values);
        values.unbondingSeconds = 730 days + 1;
        expectOutOfBounds("unbondingSeconds", 730 days + 1, longest, 730 days);
        this.tryDeploy(values);
        values = poolParams();
        values.lockBps = 0;
        expectOutOfBounds("lockBps", 0, 1, 10_000);
        this.tryDeploy(values);
        values.lockBps = 10_001;
        expectOutOfBounds("lockBps", 10_001, 1, 10_000);
        this.tryDeploy(values);
        values = poolParams();
        values.demandBondWei = 0;
        expectOutOfBounds("demandBondWei", 0, 1, type(uint96).max);
        this.tryDeploy(values);
    }

    function test_market_that_names_another_pool_reverts() public {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_NotPool.selector, next, address(pool)));
        new AuditorPool(address(market), poolParams());
    }

    // ---------------------------------------------------------------- withdraw

    function test_withdraw_by_anyone_to_the_account() public {
        credited(ann, 5 ether);
        uint256 before = ann.balance;
        vm.expectEmit();
        emit ILedger.Withdrawn(ann, ann, 5 ether);
        vm.prank(keeper);
        pool.withdraw(ann);
        assertEq(before + 5 ether, ann.balance, "paid");
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_NothingToWithdraw.selector, ann));
        pool.withdraw(ann);
    }

    function test_withdrawTo_anywhere_but_nowhere() public {
        credited(ann, 5 ether);
        vm.expectRevert(abi.encodeWithSelector(Errors.Market_ZeroAddress.selector));
        vm.prank(ann);
        pool.withdrawTo(address(0));
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_TransferFailed.selector, address(pool), 5 ether));
        vm.prank(ann);
        pool.withdrawTo(address(pool));
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_NothingToWithdraw.selector, keeper));
        vm.prank(keeper);
        pool.withdrawTo(keeper);
        vm.prank(ann);
        pool.withdrawTo(address(0xBEEF01));
        assertEq(5 ether, address(0xBEEF01).balance, "paid");
    }

    function test_voter_that_refuses_ether_blocks_nobody() public {
        Guest guest = new Guest(pool);
        vm.deal(address(guest), 100 ether);
        guest.call(abi.encodeCall(pool.stake, ()), 20 ether);
        pass(ACTIVATION);
        pool.activate(address(guest));
        pass(1);
        (Work memory entry, bytes32 caseId) = disputed();
        bytes32 ballot = ballotOf(caseId, address(guest), Verdict.Falls);
        guest.call(abi.encodeCall(pool.commitVote, (caseId, ballot)), 0);
        commitVote(caseId, ann, Verdict.Falls);
        toReveal(caseId);
        revealVote(caseId, address(guest), Verdict.Falls, 4 ether);
        revealVote(caseId, ann, Verdict.Falls, 10 ether);
        toResolve(caseId);
        advance(entry.proof.taskId);
        pool.collectVote(caseId, 0, address(guest));
        pool.collectVote(caseId, 0, ann);
        uint256 creditWei = pool.creditOf(address(guest));
        vm.expectRevert(abi.encodeWithSelector(Errors.Ledger_TransferFailed.selector, address(guest), creditWei));
        pool.withdraw(address(guest));
        pool.withdraw(ann);
        assertEq(creditWei, pool.creditOf(address(guest)), "the credit stays");
        guest.call(abi.encodeCall(pool.withdrawTo, (address(0xBEEF02))), 0);
        assertEq(creditWei, address(0xBEEF02).balance, "paid elsewhere");
        assertSolvent();
    }

    /// @dev A receiver with a stake, a filing and ballots of every kind tries each function again while it is paid.
    function test_receiver_that_calls_back_is_paid_once() public {
        Guest guest = new Guest(pool);
        vm.deal(address(guest), 100 ether);
        guest.call(abi.encodeCall(pool.stake, ()), 20 ether);
        pass(ACTIVATION);
        pool.activate(address(guest));
        (Work memory entry, bytes32 caseId) = disputed();
        guest.call(abi.encodeCall(pool.unstake, (1 ether)), 0);
        commitVote(caseId, ann, Verdict.Falls);
        toReveal(caseId);
        revealVote(caseId, ann, Verdict.Falls, 10 ether);
        toResolve(caseId);
        advance(entry.proof.taskId);
        pool.collectVote(caseId, 0, ann);
        pool.collectBond(caseId, fay);
        pass(UNBONDING);
        pool.finishUnstake(address(guest));

        guest.callBack(everything(entry.proof.taskId, caseId, address(guest)));
        (uint256 lockedWei, uint256 creditedWei) = pool.liabilities();
        uint256 before = address(guest).balance;
        pool.withdraw(address(guest));
        assertEq(before + 1 ether, address(guest).balance, "INV-ONCE: paid once");
        assertEq(20, guest.tried(), "it tried everything");
        assertEq(2, guest.succeeded(), "and only what anybody may do any time went through");
        (uint256 lockedAfter, uint256 creditedAfter) = pool.liabilities();
        assertEq(lockedWei, lockedAfter, "nothing else moved");
        assertEq(creditedWei - 1 ether, creditedAfter, "but this credit");
        assertSolvent();
    }

    /// @dev One call of every function, as the guest would make it.
    function everything(uint256 taskId, bytes32 caseId, address guest) private view returns (bytes[] memory calls) {
        ClaimRef memory ref;
        PredictionLeaf memory leaf;
        SumNode[] memory path;
        LabelProof memory label;
        calls = new bytes[](20);
        calls[0] = abi.encodeCall(pool.withdraw, (guest));
        calls[1] = abi.encodeCall(pool.withdrawTo, (guest));
        calls[2] = abi.encodeCall(pool.finishUnstake, (guest));
        calls[3] = abi.encodeCall(pool.activate, (guest));
        calls[4] = abi.encodeCall(pool.claimDividends, ());
        calls[5] = abi.encodeCall(pool.collectFees, ()); // goes through, and finds nothing
        calls[6] = abi.encodeCall(pool.impeach, (taskId, 0));
        calls[7] = abi.encodeCall(pool.dispute, (taskId, 1, 0, new uint40[](0)));
        calls[8] = abi.encodeCall(pool.commitVote, (caseId, bytes32(uint256(1))));
        calls[9] = abi.encodeCall(pool.revealVote, (caseId, guest, Verdict.Falls, 0, 0));
        calls[10] = abi.encodeCall(pool.resolve, (taskId));
        calls[11] = abi.encodeCall(pool.collectVote, (caseId, 0, guest));
        calls[12] = abi.encodeCall(pool.recoverVote, (caseId, 0, guest, 0, 0));
        calls[13] = abi.encodeCall(pool.collectBond, (caseId, fay));
        calls[14] = abi.encodeCall(pool.refute, (ref, 0, leaf, path, label));
        calls[15] = abi.encodeCall(pool.demand, (ref, 0));
        calls[16] = abi.encodeCall(pool.answer, (ref, 0, leaf, path));
        calls[17] = abi.encodeCall(pool.closeDemand, (taskId, 0, alice, 0));
        calls[19] = abi.encodeCall(pool.stake, ()); // of nothing
        calls[18] = abi.encodeCall(pool.unstake, (1)); // goes through: it is its own stake
    }

    // ---------------------------------------------------------------- unannounced ether

    function test_plain_transfer_is_refused() public {
        vm.deal(keeper, 1 ether);
        vm.prank(keeper);
        (bool isTaken, bytes memory answer) = address(pool).call{value: 1 ether}("");
        assertTrue(!isTaken, "refused");
        bytes memory expected = abi.encodeWithSelector(Errors.Pool_NotMarket.selector, keeper, address(market));
        assertEq(keccak256(expected), keccak256(answer), "because it is not the market");
    }

    function test_forced_ether_changes_no_liability() public {
        (uint256 lockedBefore, uint256 creditedBefore) = pool.liabilities();
        vm.deal(address(pool), address(pool).balance + 3 ether);
        pool.collectFees();
        (uint256 lockedWei, uint256 creditedWei) = pool.liabilities();
        assertEq(lockedBefore, lockedWei, "locked");
        assertEq(creditedBefore, creditedWei, "credited");
        assertEq(0, waiting(), "it is nobody's dividends");
        unstake(ann, ANN_STAKE);
        pass(UNBONDING);
        pool.finishUnstake(ann);
        pool.withdraw(ann);
        (lockedWei, creditedWei) = pool.liabilities();
        assertEq(lockedWei + creditedWei + 3 ether, address(pool).balance, "INV-SOLVENT: with the surplus");
    }

    // ---------------------------------------------------------------- help

    function tryDeploy(PoolParams memory values) public {
        deployPool(values);
    }

    function credited(address auditor, uint256 amountWei) private {
        unstake(auditor, amountWei);
        pass(UNBONDING);
        pool.finishUnstake(auditor);
    }

    function expectOutOfBounds(bytes32 parameter, uint256 given, uint256 minimum, uint256 maximum) private {
        vm.expectRevert(abi.encodeWithSelector(Errors.Params_OutOfBounds.selector, parameter, given, minimum, maximum));
    }

    function assertLeBytes(uint256 found, string memory name) private pure {
        vm.assertLe(found, 22_999, name);
    }
}

/// @dev An account with code: it refuses ether until it is told what to call while it is paid.
contract Guest {
    AuditorPool private immutable POOL;

    bytes[] private _calls;
    uint256 public tried;
    uint256 public succeeded;

    constructor(AuditorPool pool) {
        POOL = pool;
    }

    function call(bytes calldata data, uint256 valueWei) external payable {
        (bool isDone,) = address(POOL).call{value: valueWei}(data);
        require(isDone, "call");
    }

    function callBack(bytes[] calldata calls) external {
        for (uint256 i; i < calls.length; ++i) {
            _calls.push(calls[i]);
        }
    }

    receive() external payable {
        require(_calls.length != 0, "refused");
        for (uint256 i; i < _calls.length; ++i) {
            ++tried;
            (bool isDone,) = address(POOL).call(_calls[i]);
            if (isDone) ++succeeded;
        }
    }
}
