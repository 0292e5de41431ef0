// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Entry, Phase, Round, Verdict} from "../../contracts/types/Task.sol";
import {PoolPlayerChecks} from "./PoolPlayerChecks.sol";

/// @title PoolPlayer
/// @dev Plays a market and its pool at random. Requesters release too late or a useless test set; miners are honest,
/// lie, copy, stay silent, withhold, never reveal, or are a contract; auditors vote as most do, against it, copy, stay away,
/// do not open, stake late and leave amid a vote; filers, refuters and demanders are right or wrong; one of them takes
/// no ether. Most moves do what a task waits for, so that tasks get somewhere; some make any call at any time.
contract PoolPlayer is PoolPlayerChecks {
    uint256 private constant MAX_TASKS = 100;

    function setUp() public override {
        super.setUp();
        address[AUDITORS] memory all = auditors();
        for (uint256 i; i < AUDITORS; ++i) {
            doStake(all[i], 10 ether + 3 * (i / 2)); // twins can be torn
        }
        vm.warp(T0 + ACTIVATION);
        for (uint256 i; i + 1 < AUDITORS; ++i) {
            doActivate(all[i]);
        }
        vm.warp(T0 + ACTIVATION + 60);
        doPost(2, true);
    }

    // ---------------------------------------------------------------- moves

    function playTask(uint256 seed) external {
        rememberPast();
        seed = throwOf(seed, "task");
        uint256 taskId = focus(seed);
        for (uint256 i; i < 3; ++i) {
            step(taskId, throwOf(seed + i, "step"));
        }
    }

    function playStakes(uint256 seed) external {
        address[AUDITORS] memory all = auditors();
        address auditor = all[throwOf(seed, "auditor") % AUDITORS];
        Account storage account = accounts[auditor];
        uint256 choice = throwOf(seed, "stakes") % 8;
        uint256 amountWei = throwOf(seed, "amount") % 12 ether;
        if (choice < 3) doActivate(auditor);
        if (choice == 2 || choice == 3) doStake(auditor, oneIn(8, seed, "nothing") ? 0 : amountWei);
        if (choice == 0 || choice == 3) level(auditor, all[(throwOf(seed, "auditor") + 1) % AUDITORS]);
        if (choice == 4) doUnstake(auditor, amountWei);
        if (choice == 5) {
            // everything, now and then
            bool isAll = oneIn(4, seed, "all");
            doUnstake(auditor, isAll ? account.activeWei + account.pendingWei : account.activeWei / 3);
        }
        if (choice > 5) doFinishUnstake(auditor);
        if (choice == 7) doClaimDividends(auditor);
    }

    function playMoney(uint256 seed) external {
        address[13] memory everybody = people();
        address account = everybody[throwOf(seed, "account") % everybody.length];
        uint256 choice = throwOf(seed, "money") % 8;
        if (choice == 0) doCollectFees();
        if (choice == 1) doWithdrawFromMarket(oneIn(3, seed, "pool") ? treasury : account);
        if (choice == 2) doWithdrawFromPool(account);
        if (choice == 3) doSendOnFromMarket(rex, oneIn(4, seed, "to") ? rex : gus);
        if (choice == 4) doSendOnFromPool(oneIn(2, seed, "from") ? rex : account, gus);
        if (choice == 5) force(throwOf(seed, "force"));
        if (choice == 6) wade.setLocked(oneIn(3, seed, "locked"));
        if (choice == 7) reclaimSome(seed);
        collectSome(throwOf(seed, "collect"));
    }

    /// @dev Any call about any task, whatever it waits for.
    function playStray(uint256 seed) external {
        seed = throwOf(seed, "stray");
        uint256 taskId = throwOf(seed, "task") % tasks() + 1;
        address miner = minerOf(throwOf(seed, "miner"));
        uint256 choice = throwOf(seed, "stray") % 14;
        if (choice == 0) doCancel(taskId);
        if (choice == 1) doCommit(taskId, miner, planFor(seed));
        if (choice == 2) doRelease(taskId, oneIn(2, seed, "from") ? requester : keeper);
        if (choice == 3) doReveal(taskId, miner);
        if (choice == 4) doNominate(taskId, miner);
        if (choice == 5) doOpen(taskId, miner);
        if (choice == 6) doAdvance(taskId);
        if (choice == 7) doResolve(taskId);
        if (choice == 8) doImpeach(taskId, filerOf(throwOf(seed, "filer")));
        if (choice == 9) disputeSome(taskId, seed);
        if (choice == 10) doRefute(taskId, miner, filerOf(throwOf(seed, "filer")), throwOf(seed, "sample") % N);
        if (choice == 11) doDemand(taskId, miner, filerOf(throwOf(seed, "filer")), throwOf(seed, "sample") % 8);
        if (choice == 12 && caseIds.length != 0) voteStray(seed);
        if (choice == 13 && demanded.length != 0) {
            doAnswer(throwOf(seed, "demand") % demanded.length);
            doCloseDemand(throwOf(seed, "closed") % demanded.length);
        }
    }

    function playTime(uint256 seed) external {
        rememberPast();
        passOverEmpty();
        if (oneIn(24, seed, "absence")) vm.warp(block.timestamp + throwOf(seed, "absence") % UNBONDING);
        else vm.warp(block.timestamp + 1 + throwOf(seed, "time") % (VOTE / 5));
    }

    // ---------------------------------------------------------------- as a task lives

    /// @dev Mostly the oldest task that is still warm.
    function focus(uint256 seed) private returns (uint256 taskId) {
        uint256 number = tasks();
        if (oneIn(4, seed, "any task")) return throwOf(seed, "task") % number + 1;
        for (taskId = 1; taskId <= number; ++taskId) {
            (Phase phase,) = phaseOf(taskId);
            if (phase < Phase.Settled) return taskId;
        }
        if (number < MAX_TASKS) doPost(throwOf(seed, "rounds") % MAX_ROUNDS + 1, !oneIn(4, seed, "unusable"));
        return tasks();
    }

    function step(uint256 taskId, uint256 seed) private {
        (Phase phase, bool due) = phaseOf(taskId);
        if (due && phase != Phase.None) {
            if (phase == Phase.VotingReveal && oneIn(2, seed, "resolve")) doResolve(taskId);
            doAdvance(taskId);
        } else if (phase == Phase.Training) {
            train(taskId, seed);
        } else if (phase == Phase.Releasing) {
            releaseOrNot(taskId, seed);
        } else if (phase == Phase.Revealing) {
            revealSome(taskId, seed);
        } else if (phase == Phase.Opening) {
            openOrNot(taskId, seed);
        } else if (phase == Phase.Challenge) {
            challenge(taskId, seed);
        } else if (phase == Phase.VotingCommit || phase == Phase.VotingReveal) {
            voteSome(taskId, phase, seed);
        } else if (phase == Phase.Nominating) {
            nominateSome(taskId, seed);
            collectSome(seed);
        } else {
            reclaimSome(seed);
            collectSome(seed);
        }
    }

    function train(uint256 taskId, uint256 seed) private {
        uint256 first = throwOf(seed, "miner");
        if (oneIn(12, seed, "cancel")) doCancel(taskId);
        if (oneIn(50, seed, "nobody")) return toEnd_(taskId);
        doCommit(taskId, minerOf(first), planFor(seed));
        doCommit(taskId, minerOf(first + 1), planFor(seed + 1));
        if (roundOf(taskId).commits > 2) toEnd_(taskId);
    }

    function releaseOrNot(uint256 taskId, uint256 seed) private {
        if (oneIn(16, seed, "late")) return toEnd_(taskId);
        uint256 earliest = roundOf(taskId).trainEnd + GAP;
        if (block.timestamp < earliest && !oneIn(8, seed, "early")) vm.warp(earliest);
        doRelease(taskId, requester);
    }

    function revealSome(uint256 taskId, uint256 seed) private {
        uint256 first = throwOf(seed, "miner");
        doReveal(taskId, minerOf(first));
        doReveal(taskId, minerOf(first + 1));
        if (oneIn(isUnusable[taskId] ? 2 : 6, seed, "impeach")) doImpeach(taskId, filerOf(throwOf(seed, "filer")));
        if (oneIn(6, seed, "refute")) refuteSome(taskId, seed);
        Round memory round = roundOf(taskId);
        if (round.reveals == round.commits || oneIn(6, seed, "never reveals")) toEnd_(taskId);
    }

    function openOrNot(uint256 taskId, uint256 seed) private {
        if (oneIn(8, seed, "demand")) demandSome(taskId, seed);
        if (oneIn(10, seed, "silent")) toEnd_(taskId);
        else doOpen(taskId, roundOf(taskId).leader);
    }

    function challenge(uint256 taskId, uint256 seed) private {
        uint256 choice = throwOf(seed, "challenge") % 8;
        if (choice < 3) disputeSome(taskId, seed);
        if (choice == 3) demandSome(taskId, seed);
        if (choice == 4) refuteSome(taskId, seed);
        if (choice > 4) answerSome(seed);
        if (choice > 5) toEnd_(taskId);
    }

    function voteSome(uint256 taskId, Phase phase, uint256 seed) private {
        bytes32 caseId = caseIds[0];
        for (uint256 i; i < caseIds.length; ++i) {
            File storage file = files[caseIds[i]];
            if (file.taskId == taskId && file.round == market.taskOf(taskId).round) caseId = caseIds[i];
        }
        address[AUDITORS] memory all = auditors();
        uint256 first = throwOf(seed, "voter");
        for (uint256 i; i < 3; ++i) {
            address voter = all[(first + i) % AUDITORS];
            if (phase == Phase.VotingCommit) commitAs(caseId, voter, all[(first + i + 1) % AUDITORS], seed + i);
            else if (!oneIn(isLazy(caseId) ? 2 : 12, seed + i, "never opens")) doRevealVote(caseId, voter);
        }
        // late, so that ballots are sealed and opened when their vote ends without a ruling
        if (phase == Phase.VotingReveal || oneIn(4, seed, "refute")) refuteSome(taskId, seed);
        if (oneIn(2, seed, "collect")) collectSome(seed);
        if (oneIn(4, seed, "answer")) answerSome(seed);
        if (oneIn(3, seed, "on")) toEnd_(taskId);
    }

    /// @dev Each vote has a mood, so that every ruling is reached: mostly falls, mostly stands, torn, nobody or lazy.
    function moodOf(bytes32 caseId) private view returns (uint256) {
        return uint256(keccak256(abi.encode(caseId, files[caseId].attempt))) % 8;
    }

    function isLazy(bytes32 caseId) private view returns (bool) {
        return moodOf(caseId) == 7;
    }

    function commitAs(bytes32 caseId, address voter, address neighbour, uint256 seed) private {
        uint256 mood = moodOf(caseId);
        if (mood == 6 && !oneIn(12, seed, "one comes")) return;
        Verdict verdict = mood < 3 ? Verdict.Falls : Verdict.Stands;
        if (mood == 4 || mood == 5) verdict = tornVerdict(caseId, voter);
        else if (oneIn(6, seed, "other")) verdict = Verdict(throwOf(seed, "verdict") % 3 + 1);
        if (verdict == Verdict.None) return;
        if (verdict == Verdict.Falls && oneIn(5, seed, "unavailable")) verdict = Verdict.Unavailable;
        bool isCopied = oneIn(12, seed, "copies");
        doCommitVote(caseId, voter, isCopied ? neighbour : voter, verdict, bytes32(throwOf(seed, "salt")));
    }

    /// @dev Twins of one weight, one for and one against; who has none stays away.
    function tornVerdict(bytes32 caseId, address voter) private view returns (Verdict) {
        uint40 snapshotAt = files[caseId].snapshotAt;
        uint256 weightWei = amountAt(traces[voter], snapshotAt);
        address[AUDITORS] memory all = auditors();
        uint256 twins;
        uint256 place;
        for (uint256 i; i < AUDITORS; ++i) {
            if (all[i] == voter) place = twins;
            if (amountAt(traces[all[i]], snapshotAt) == weightWei) ++twins;
        }
        if (place % 2 == 1) return Verdict.Falls;
        return place + 1 < twins ? Verdict.Stands : Verdict.None;
    }

    /// @dev As much stake as the other one has, if that is more.
    function level(address auditor, address other) private {
        uint256 ownWei = accounts[auditor].activeWei + accounts[auditor].pendingWei;
        uint256 otherWei = accounts[other].activeWei + accounts[other].pendingWei;
        if (otherWei > ownWei) doStake(auditor, otherWei - ownWei);
    }

    function nominateSome(uint256 taskId, uint256 seed) private {
        uint256 first = throwOf(seed, "miner");
        doNominate(taskId, minerOf(first));
        doNominate(taskId, minerOf(first + 1));
        if (oneIn(2, seed, "on")) toEnd_(taskId);
    }

    // ---------------------------------------------------------------- help

    /// @dev Most models are their miner's own; some are one that everybody knows.
    function planFor(uint256 seed) private pure returns (Plan memory plan) {
        plan.turn = uint8(throwOf(seed, "turn") % N);
        plan.correct = uint8(2 + throwOf(seed, "correct") % 5);
        plan.model = keccak256(abi.encode(oneIn(6, seed, "shared") ? 0 : seed));
        if (!oneIn(3, seed, "lie")) return plan;
        plan.lie = Lie(throwOf(seed, "which lie") % 7);
        if (plan.correct > 4) plan.correct = 4;
    }

    function toEnd_(uint256 taskId) private {
        (Phase phase, bool due, uint40 endsAt) = market.phaseOf(taskId);
        if (phase < Phase.Settled && !due && endsAt > block.timestamp) vm.warp(endsAt);
    }

    function disputeSome(uint256 taskId, uint256 seed) private {
        uint256 grounds = oneIn(12, seed, "any grounds") ? throwOf(seed, "grounds") % 256 : 64;
        uint40 sample = uint40(throwOf(seed, "sample") % (N + 1));
        doDispute(taskId, filerOf(throwOf(seed, "filer")), grounds, sample);
    }

    function refuteSome(uint256 taskId, uint256 seed) private {
        address leader = roundOf(taskId).leader;
        bool isLeader = leader != address(0) && oneIn(2, seed, "leader");
        address miner = isLeader ? leader : minerOf(throwOf(seed, "refuted"));
        doRefute(taskId, miner, filerOf(throwOf(seed, "refuter")), throwOf(seed, "sample") % N);
    }

    function demandSome(uint256 taskId, uint256 seed) private {
        address leader = roundOf(taskId).leader;
        if (leader == address(0)) return;
        doDemand(taskId, leader, filerOf(throwOf(seed, "demander")), throwOf(seed, "demanded") % N);
    }

    function answerSome(uint256 seed) private {
        for (uint256 i = demanded.length > 3 ? demanded.length - 3 : 0; i < demanded.length; ++i) {
            if (!oneIn(4, seed + i, "withholds")) doAnswer(i);
        }
    }

    function reclaimSome(uint256 seed) private {
        uint256 taskId = throwOf(seed, "task") % tasks() + 1;
        uint16 round = uint16(throwOf(seed, "round") % (market.taskOf(taskId).round + 1));
        for (uint256 i; i < MINERS; ++i) {
            doReclaim(taskId, round, minerOf(i));
        }
    }

    function collectSome(uint256 seed) private {
        if (caseIds.length != 0) {
            // mostly one of the last
            uint256 recent = oneIn(4, seed, "old") || caseIds.length < 3 ? caseIds.length : 3;
            bytes32 caseId = caseIds[caseIds.length - 1 - throwOf(seed, "case") % recent];
            uint8 attempt_ = uint8(throwOf(seed, "attempt") % (files[caseId].attempt + 1));
            address[AUDITORS] memory all = auditors();
            for (uint256 i; i < 3; ++i) {
                address voter = all[throwOf(seed + i, "voter") % AUDITORS];
                doCollectVote(caseId, attempt_, voter);
                doRecoverVote(caseId, attempt_, voter);
            }
            doCollectBond(caseId, filerOf(throwOf(seed, "filer")));
        }
        if (demanded.length != 0) doCloseDemand(throwOf(seed, "demand") % demanded.length);
    }

    function voteStray(uint256 seed) private {
        bytes32 caseId = caseIds[throwOf(seed, "case") % caseIds.length];
        address[AUDITORS] memory all = auditors();
        commitAs(caseId, all[throwOf(seed, "voter") % AUDITORS], all[throwOf(seed, "author") % AUDITORS], seed);
        doRevealVote(caseId, all[throwOf(seed, "opener") % AUDITORS]);
    }

    /// @dev What a block reward or a self-destructing contract can do.
    function force(uint256 amount) private {
        amount %= 1000;
        marketForced += amount;
        poolForced += amount / 2;
        vm.deal(address(market), address(market).balance + amount);
        vm.deal(address(pool), address(pool).balance + amount / 2);
    }
}
