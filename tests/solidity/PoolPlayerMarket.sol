// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TaskMarket} from "../../contracts/TaskMarket.sol";
import {
    BlockHeader,
    Entry,
    Outcome,
    Phase,
    Round,
    Ruling,
    Task,
    TestSet,
    Vote,
    Winner
} from "../../contracts/types/Task.sol";
import {PoolPlayerBooks} from "./PoolPlayerBooks.sol";

/// @title PoolPlayerMarket
/// @dev Every call of the market, at any time, with what the rules say about it and what it does to the books.
abstract contract PoolPlayerMarket is PoolPlayerBooks {
    /// @dev What was known when a task was advanced.
    struct Before {
        uint256 taskId;
        Phase phase;
        bool due;
        Task task;
        Round round;
        bool isVote; // it is over, and no demand is open
        bytes32 caseId;
        Ruling ruling; // that the ballots amount to
        uint64 height;
        bytes32 head;
        uint128 cumulative;
    }

    function doPost(uint256 rounds, bool isUsable) internal {
        uint256 valueWei = rounds * (uint256(PAY) + SURETY);
        bytes memory data = abi.encodeCall(TaskMarket.post, (oddTerms(rounds), smallCommitments(rounds, isUsable)));
        attemptMarket(requester, valueWei, data, true, "post");
        isUnusable[tasks()] = !isUsable;
    }

    function doCancel(uint256 taskId) internal {
        (Phase phase, bool due) = phaseOf(taskId);
        bool isAllowed =
            phase == Phase.Training && !due && market.taskOf(taskId).round == 0 && roundOf(taskId).commits == 0;
        attemptMarket(requester, 0, abi.encodeCall(TaskMarket.cancel, taskId), isAllowed, "cancel");
    }

    function doCommit(uint256 taskId, address miner, Plan memory plan) internal {
        (Phase phase, bool due) = phaseOf(taskId);
        Task memory task = market.taskOf(taskId);
        bytes32 commitment = commitmentOf(workOf(keyOf(miner), miner, taskId, task.round, plan));
        uint256 valueWei = entryNow(taskId, miner).commitSeq == 0 ? PLEDGE : 0;
        bytes memory data =
            abi.encodeCall(TaskMarket.commit, (taskId, task.round, task.termsHash, commitment, bytes32(0)));
        if (attemptMarket(miner, valueWei, data, phase == Phase.Training && !due, "commit")) {
            plans[taskId][task.round][miner] = plan;
        }
    }

    function doRelease(uint256 taskId, address from) internal {
        (Phase phase, bool due) = phaseOf(taskId);
        bool isAllowed =
            phase == Phase.Releasing && !due && block.timestamp >= roundOf(taskId).trainEnd + GAP && from == requester;
        TestSet memory testSet = smallTestSet(market.taskOf(taskId).round, !isUnusable[taskId]);
        attemptMarket(from, 0, abi.encodeCall(TaskMarket.release, (taskId, testSet, TEST_KEY)), isAllowed, "release");
    }

    function doReveal(uint256 taskId, address miner) internal {
        (Phase phase, bool due) = phaseOf(taskId);
        Entry memory stored = entryNow(taskId, miner);
        bool isAllowed = phase == Phase.Revealing && !due && stored.commitSeq != 0 && !stored.hasRevealed
            && !(miner == address(wade) && wade.isLocked());
        Work memory entry = planned(taskId, market.taskOf(taskId).round, miner);
        if (isAllowed) sendReveal(altered(entry), false, "another proof of a commitment");
        if (!sendReveal(entry, isAllowed, "reveal")) return;
        sendReveal(entry, false, "a second reveal");
        sendReveal(altered(entry), false, "a second reveal of another proof");
    }

    function sendReveal(Work memory entry, bool isAllowed, string memory name) private returns (bool) {
        bytes memory data =
            abi.encodeCall(TaskMarket.reveal, (entry.proof, entry.salt, entry.claim, entry.hTop, signatureOf(entry)));
        return attemptMarket(keeper, 0, data, isAllowed, name);
    }

    function altered(Work memory entry) private view returns (Work memory other) {
        other = planned(entry.proof.taskId, entry.proof.round, entry.proof.miner);
        other.proof.sealedModel = keccak256("another file");
        bindTree(other, plans[entry.proof.taskId][entry.proof.round][entry.proof.miner]);
    }

    function doNominate(uint256 taskId, address miner) internal {
        (Phase phase, bool due) = phaseOf(taskId);
        Entry memory entry = entryNow(taskId, miner);
        bool isAllowed = phase == Phase.Nominating && !due && entry.qualifies && !entry.isStruck
            && isBetter(entry, taskId, roundOf(taskId).leader);
        attemptMarket(keeper, 0, abi.encodeCall(TaskMarket.nominate, (taskId, miner)), isAllowed, "nominate");
    }

    function isBetter(Entry memory entry, uint256 taskId, address leader) private view returns (bool) {
        if (leader == address(0)) return true;
        Entry memory best = entryNow(taskId, leader);
        return entry.total > best.total || (entry.total == best.total && entry.commitSeq < best.commitSeq);
    }

    function doOpen(uint256 taskId, address miner) internal {
        (Phase phase, bool due) = phaseOf(taskId);
        bool isAllowed = phase == Phase.Opening && !due && roundOf(taskId).leader == miner;
        Work memory entry = planned(taskId, market.taskOf(taskId).round, miner);
        bytes memory data =
            abi.encodeCall(TaskMarket.open, (entry.proof, entry.claim, entry.sealKey, entry.slotKey, entry.slotPath));
        attemptMarket(keeper, 0, data, isAllowed, "open");
    }

    function doReclaim(uint256 taskId, uint16 round, address miner) internal {
        bool isAllowed = isFree(taskId, round, miner);
        attemptMarket(keeper, 0, abi.encodeCall(TaskMarket.reclaim, (taskId, round, miner)), isAllowed, "reclaim");
    }

    /// @dev P-61 and P-21.
    function isFree(uint256 taskId, uint16 round, address miner) private view returns (bool) {
        Entry memory entry = market.entryOf(taskId, round, miner);
        Task memory task = market.taskOf(taskId);
        if (!entry.holdsDeposit) return false;
        if (round == task.round && task.outcome == Outcome.Aborted) return true;
        if (round < task.round || task.outcome != Outcome.None) return entry.hasRevealed;
        Round memory facts = market.roundOf(taskId, round);
        return entry.hasRevealed && !entry.qualifies && block.timestamp >= facts.revealEnd && facts.vote != Vote.TestSet;
    }

    function doWithdrawFromMarket(address account) internal {
        uint256 amountWei = market.creditOf(account);
        uint256 before = account.balance;
        bytes memory data = abi.encodeCall(TaskMarket.withdraw, account);
        bool isAllowed = amountWei != 0 && account != rex;
        if (!attemptMarket(keeper, 0, data, isAllowed, "withdraw from the market")) return;
        assertEq(amountWei, account.balance - before, "INV-ONCE: the market pays a credit in full");
        assertEq(0, market.creditOf(account), "INV-ONCE: the market keeps a credit it paid");
        if (account != address(pool)) marketOut += amountWei;
    }

    /// @dev Whoever takes no ether sends it on.
    function doSendOnFromMarket(address account, address to) internal {
        uint256 amountWei = market.creditOf(account);
        uint256 before = to.balance;
        bytes memory data = abi.encodeCall(TaskMarket.withdrawTo, to);
        if (!attemptMarket(account, 0, data, amountWei != 0 && to != rex, "send on from the market")) return;
        assertEq(amountWei, to.balance - before, "INV-ONCE: the market pays a credit in full");
        marketOut += amountWei;
    }

    // ---------------------------------------------------------------- advance

    function doAdvance(uint256 taskId) internal {
        Before memory before = beforeAdvance(taskId);
        advanced(before, address(market), abi.encodeCall(TaskMarket.advance, taskId), before.due, "advance");
    }

    function beforeAdvance(uint256 taskId) internal view returns (Before memory before) {
        before.taskId = taskId;
        (before.phase, before.due) = phaseOf(taskId);
        before.task = market.taskOf(taskId);
        Round memory round = market.roundOf(taskId, before.task.round);
        before.round = round;
        before.isVote = before.phase == Phase.VotingReveal && before.due && round.openDemands == 0;
        before.caseId = pool.caseIdOf(taskId, before.task.round, round.vote == Vote.Claim ? round.leader : address(0));
        if (before.isVote) before.ruling = expectedRuling(before.caseId);
        (before.height, before.head, before.cumulative) = registry.head();
    }

    /// @dev What follows when the time of a phase is up.
    function advanced(Before memory before, address to, bytes memory data, bool isAllowed, string memory name)
        internal
    {
        if (!attempt(keeper, to, 0, data, isAllowed, name)) return;
        if (before.round.openDemands != 0) leaderStruck(before, "withheld");
        else if (before.phase == Phase.Challenge) settled(before);
        else if (before.phase == Phase.Opening) leaderStruck(before, "silent");
        else if (before.isVote) ruled(before);
        else if (before.phase == Phase.Releasing) aborted(before, "not released");
        else voided(before);
        if (before.phase == Phase.Challenge && before.round.openDemands == 0) return;
        (uint64 height, bytes32 head,) = registry.head();
        assertEq(before.height, height, "INV-CHAIN: only a settlement appends");
        assertEq(before.head, head, "INV-CHAIN: the head moved");
    }

    function settled(Before memory before) private {
        earnedWei += mulBps(PAY, FEE_BPS) + unrevealed(before.round);
        assertBlock(before);
        ++counts["settled"];
    }

    function voided(Before memory before) private {
        earnedWei += (before.round.isFeeDue ? mulBps(PAY, FEE_BPS) : 0) + unrevealed(before.round);
        ++counts[before.round.isFeeDue ? "void with a fee" : "void"];
        assertEq(uint256(Outcome.Void), uint256(market.taskOf(before.taskId).outcome), "INV-EXIT: void");
    }

    function ruled(Before memory before) private {
        bool isClaim = before.round.vote == Vote.Claim;
        uint256 grantedWei;
        if (before.ruling == Ruling.Falls) {
            if (isClaim) {
                leaderStruck(before, "voted");
                grantedWei = PLEDGE;
            } else {
                grantedWei = aborted(before, "impeached");
            }
        }
        resolved(before.caseId, before.ruling, grantedWei, isClaim ? before.round.leader : requester);
    }

    /// @dev The books of a ruling.
    function resolved(bytes32 caseId, Ruling ruling, uint256 grantedWei, address defendant) internal virtual;

    function leaderStruck(Before memory before, string memory reason) private {
        earnedWei += PLEDGE;
        markStruck(before.taskId, before.task.round, before.round.leader);
        ++counts[reason];
    }

    function markStruck(uint256 taskId, uint16 round, address miner) internal {
        struck[taskId][round][miner] = true;
        assertTrue(market.entryOf(taskId, round, miner).isStruck, "INV-STRIKE: a claim stays unstruck");
        assertTrue(!market.entryOf(taskId, round, miner).holdsDeposit, "INV-STRIKE: a struck claim keeps its deposit");
        assertTrue(market.roundOf(taskId, round).leader != miner, "INV-STRIKE: a struck claim still leads");
    }

    function aborted(Before memory before, string memory reason) private returns (uint256 restWei) {
        uint256 committers = before.round.commits - before.round.strikes;
        restWei = before.task.bondWei;
        if (committers != 0) restWei -= restWei / 2 / committers * committers;
        earnedWei += restWei;
        ++counts[reason];
        assertEq(uint256(Outcome.Aborted), uint256(market.taskOf(before.taskId).outcome), "INV-EXIT: aborted");
    }

    function mulBps(uint256 amountWei, uint256 bps) private pure returns (uint256) {
        return amountWei * bps / 1e4;
    }

    function unrevealed(Round memory round) private pure returns (uint256) {
        return uint256(round.commits - round.reveals) * PLEDGE;
    }

    function assertBlock(Before memory before) private view {
        (uint256 taskId, uint16 round, address leader) = (before.taskId, before.task.round, before.round.leader);
        Winner memory winner = registry.winnerOf(taskId, round);
        assertEq(leader, winner.miner, "INV-CHAIN: the leader wins");
        assertTrue(!struck[taskId][round][leader], "INV-WIN: a struck claim won");
        (, uint256 openTasks,) = market.counters();
        BlockHeader memory header;
        header.version = 1;
        header.height = before.height;
        header.previousHash = before.head;
        header.taskId = taskId;
        header.round = round;
        header.modelHash = winner.modelHash;
        header.proofDigest = winner.proofDigest;
        header.miner = winner.miner;
        header.total = winner.total;
        header.scorePpm = uint32(uint256(winner.total) * 1e6 / N);
        header.difficulty = before.task.difficulty;
        header.cumulativeDifficulty = before.cumulative + header.difficulty;
        header.timestamp = uint40(block.timestamp);
        bool isLast = market.taskOf(taskId).outcome != Outcome.None;
        header.openTasks = uint32(isLast ? openTasks : openTasks - 1);
        assertTrue(registry.verifyBlock(header), "INV-CHAIN: a block does not link to the one before");
        (uint64 blocks, bytes32 head,) = registry.head();
        assertEq(before.height + 1, blocks, "INV-CHAIN: height");
        assertEq(keccak256(abi.encode(header)), head, "INV-CHAIN: head");
    }
}
