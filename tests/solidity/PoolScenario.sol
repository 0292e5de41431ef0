// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AuditorPool} from "../../contracts/AuditorPool.sol";
import {MarketLens} from "../../contracts/MarketLens.sol";
import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {TaskMarket} from "../../contracts/TaskMarket.sol";
import {Errors} from "../../contracts/libraries/Errors.sol";
import {Params, PoolParams, Ruling, Verdict} from "../../contracts/types/Task.sol";
import {Scenario} from "./Scenario.sol";

/// @title PoolScenario
/// @dev A real market with its real pool, three auditors with active stakes, and the steps of a dispute as one-line
/// calls.
abstract contract PoolScenario is Scenario {
    uint32 internal constant ACTIVATION = 30 days;
    uint32 internal constant UNBONDING = 40 days;
    uint16 internal constant LOCK_BPS = 2000;
    uint96 internal constant DEMAND_BOND = 0.005 ether;
    uint256 internal constant DISPUTE_BOND = BOUNTY / 10;

    uint256 internal constant ANN_STAKE = 50 ether; // locks 10 ether
    uint256 internal constant BEN_STAKE = 15 ether; // locks 3 ether
    uint256 internal constant CAT_STAKE = 10 ether; // locks 2 ether

    address internal ann = address(0x20001);
    address internal ben = address(0x20002);
    address internal cat = address(0x20003);
    address internal fay = address(0x20004); // files disputes
    address internal gus = address(0x20005); // so does he

    AuditorPool internal pool;

    function setUp() public virtual override {
        super.setUp();
        deployPool(poolParams());
        address[5] memory people = [ann, ben, cat, fay, gus];
        for (uint256 i; i < people.length; ++i) {
            vm.deal(people[i], 10_000 ether);
        }
        stake(ann, ANN_STAKE);
        stake(ben, BEN_STAKE);
        stake(cat, CAT_STAKE);
        vm.warp(T0 + ACTIVATION);
        pool.activate(ann);
        pool.activate(ben);
        pool.activate(cat);
        pass(1 days);
    }

    /// @dev In the order of a deployment: registry, market, pool, lens.
    function deployPool(PoolParams memory values) internal {
        uint256 nonce = vm.getNonce(address(this));
        Params memory marketParams = params();
        marketParams.pool = vm.computeCreateAddress(address(this), nonce + 2);
        registry = new ModelRegistry(vm.computeCreateAddress(address(this), nonce + 1));
        market = new TaskMarket(marketParams, address(registry));
        pool = new AuditorPool(address(market), values);
        lens = new MarketLens(address(market));
        treasury = address(pool);
    }

    function poolParams() internal pure virtual returns (PoolParams memory) {
        return PoolParams(ACTIVATION, UNBONDING, LOCK_BPS, DEMAND_BOND);
    }

    // ---------------------------------------------------------------- stakes

    function stake(address auditor, uint256 amountWei) internal {
        vm.prank(auditor);
        pool.stake{value: amountWei}();
    }

    function unstake(address auditor, uint256 amountWei) internal {
        vm.prank(auditor);
        pool.unstake(amountWei);
    }

    /// @dev Stakes, waits and activates.
    function staked(address auditor, uint256 amountWei) internal {
        stake(auditor, amountWei);
        pass(ACTIVATION);
        pool.activate(auditor);
    }

    function activeOf(address auditor) internal view returns (uint256) {
        return pool.stakeOf(auditor).activeWei;
    }

    function totalActive() internal view returns (uint256 activeWei) {
        (activeWei,) = pool.totals();
    }

    function waiting() internal view returns (uint256 waitingWei) {
        (, waitingWei) = pool.totals();
    }

    function accruedOf(address auditor) internal view returns (uint256 accruedWei) {
        (accruedWei,,) = pool.dividendOf(auditor);
    }

    function claimDividends(address auditor) internal {
        vm.prank(auditor);
        pool.claimDividends();
    }

    /// @dev The market pays the pool so much more.
    function feed(uint256 amountWei) internal {
        vm.deal(address(market), address(market).balance + amountWei);
        vm.prank(address(market));
        (bool isTaken,) = address(pool).call{value: amountWei}("");
        assertTrue(isTaken, "the pool takes what its market pays");
    }

    // ---------------------------------------------------------------- disputes

    /// @dev A one-round task of which Alice's claim is open to dispute.
    function openClaim() internal returns (Work memory entry) {
        entry = work(ALICE, post(1), 0, 900, "alice");
        opened(entry);
    }

    /// @dev A one-round task in Revealing.
    function revealing() internal returns (Work memory entry) {
        entry = work(ALICE, post(1), 0, 900, "alice");
        released(entry);
    }

    function dispute(address filer, uint256 taskId) internal returns (bytes32 caseId) {
        vm.prank(filer);
        return pool.dispute{value: DISPUTE_BOND}(taskId, 1, keccak256("evidence"), new uint40[](0));
    }

    function impeach(address filer, uint256 taskId) internal returns (bytes32 caseId) {
        vm.prank(filer);
        return pool.impeach{value: DISPUTE_BOND}(taskId, keccak256("evidence"));
    }

    /// @dev Disputed by Fay, at the start of the vote.
    function disputed() internal returns (Work memory entry, bytes32 caseId) {
        entry = openClaim();
        caseId = dispute(fay, entry.proof.taskId);
        toCommit(caseId);
    }

    /// @dev Impeached by Fay, at the start of the vote.
    function impeached() internal returns (Work memory entry, bytes32 caseId) {
        entry = revealing();
        reveal(entry);
        caseId = impeach(fay, entry.proof.taskId);
        toCommit(caseId);
    }

    // ---------------------------------------------------------------- votes

    function toCommit(bytes32 caseId) internal {
        (uint40 start,,) = pool.windowsOf(caseId);
        vm.warp(start);
    }

    function toReveal(bytes32 caseId) internal {
        (, uint40 commitEnd,) = pool.windowsOf(caseId);
        vm.warp(commitEnd);
    }

    function toResolve(bytes32 caseId) internal {
        (,, uint40 revealEnd) = pool.windowsOf(caseId);
        vm.warp(revealEnd);
    }

    function saltOf(address voter) internal pure returns (bytes32) {
        return keccak256(abi.encode("salt", voter));
    }

    /// @dev Written out, so that it does not agree with the contract by construction.
    function ballotOf(bytes32 caseId, address voter, Verdict verdict) internal view returns (bytes32) {
        bytes32 disputeId = keccak256(abi.encode(caseId, uint256(pool.caseOf(caseId).attempt)));
        return keccak256(abi.encode(address(pool), disputeId, voter, uint256(verdict), saltOf(voter)));
    }

    function commitVote(bytes32 caseId, address voter, Verdict verdict) internal {
        bytes32 ballot = ballotOf(caseId, voter, verdict);
        vm.prank(voter);
        pool.commitVote(caseId, ballot);
    }

    function revealVote(bytes32 caseId, address voter, Verdict verdict, uint256 lockWei) internal {
        vm.prank(keeper);
        pool.revealVote(caseId, voter, verdict, lockWei, saltOf(voter));
    }

    /// @dev A whole vote of the three auditors; None = does not take part. Ends when it can be resolved.
    function vote(bytes32 caseId, Verdict annSays, Verdict benSays, Verdict catSays) internal {
        address[3] memory voters = [ann, ben, cat];
        Verdict[3] memory verdicts = [annSays, benSays, catSays];
        uint256[3] memory locks;
        toCommit(caseId);
        for (uint256 i; i < 3; ++i) {
            if (verdicts[i] == Verdict.None) continue;
            locks[i] = pool.lockFor(caseId, voters[i]);
            commitVote(caseId, voters[i], verdicts[i]);
        }
        toReveal(caseId);
        for (uint256 i; i < 3; ++i) {
            if (verdicts[i] != Verdict.None) revealVote(caseId, voters[i], verdicts[i], locks[i]);
        }
        toResolve(caseId);
    }

    // ---------------------------------------------------------------- refusals

    function expectNotInWindow(uint256 given, uint256 start, uint256 end) internal {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NotInWindow.selector, given, start, end));
    }

    function expectNothing(address account) internal {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NothingToCollect.selector, account));
    }

    function expectNotResolved(bytes32 caseId) internal {
        vm.expectRevert(abi.encodeWithSelector(Errors.Pool_NotResolved.selector, caseId));
    }

    // ---------------------------------------------------------------- facts

    function assertRuling(Ruling expected, bytes32 caseId, uint8 attempt) internal view {
        assertEq(uint256(expected), uint256(pool.rulingOf(caseId, attempt)), "ruling");
    }

    function assertSolvent() internal view {
        (uint256 lockedWei, uint256 creditedWei) = pool.liabilities();
        assertEq(lockedWei + creditedWei, address(pool).balance, "INV-SOLVENT: pool");
        (lockedWei, creditedWei) = market.liabilities();
        assertEq(lockedWei + creditedWei, address(market).balance, "INV-SOLVENT: market");
    }

    /// @dev After everybody has left by the calls that are theirs, nothing is left but dividends that nobody earned.
    function assertEmptyAfterLeaving() internal {
        assertSolvent();
        address[3] memory auditors = [ann, ben, cat];
        for (uint256 i; i < 3; ++i) {
            uint256 stakedWei = uint256(pool.stakeOf(auditors[i]).activeWei) + pool.stakeOf(auditors[i]).pendingWei;
            if (stakedWei != 0) unstake(auditors[i], stakedWei);
            if (accruedOf(auditors[i]) != 0) claimDividends(auditors[i]);
        }
        pass(UNBONDING);
        for (uint256 i; i < 3; ++i) {
            if (pool.stakeOf(auditors[i]).unbondingWei != 0) pool.finishUnstake(auditors[i]);
        }
        address[9] memory people = [ann, ben, cat, fay, gus, alice, bob, requester, keeper];
        for (uint256 i; i < people.length; ++i) {
            if (pool.creditOf(people[i]) != 0) pool.withdraw(people[i]);
        }
        (uint256 lockedWei, uint256 creditedWei) = pool.liabilities();
        assertEq(waiting(), lockedWei, "INV-EMPTY: only dividends that wait are locked");
        assertEq(0, creditedWei, "INV-EMPTY: credited");
        assertEq(lockedWei, address(pool).balance, "INV-EMPTY: balance");
    }

    function pass(uint256 seconds_) internal {
        vm.warp(block.timestamp + seconds_);
    }
}
