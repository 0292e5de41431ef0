// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarketLens} from "./interfaces/IMarketLens.sol";
import {ITaskMarket} from "./interfaces/ITaskMarket.sol";
import {DifficultyLib} from "./libraries/DifficultyLib.sol";
import {Errors} from "./libraries/Errors.sol";
import {PayoutLib} from "./libraries/PayoutLib.sol";
import {ProofLib} from "./libraries/ProofLib.sol";
import {SignatureLib} from "./libraries/SignatureLib.sol";
import {
    Claim,
    Entry,
    Lock,
    LockKind,
    Outcome,
    Params,
    Phase,
    RankedTask,
    Round,
    Task,
    Terms,
    TrainingProof
} from "./types/Task.sol";

/// @title MarketLens
/// @notice Views that loop. They are for eth_call: no contract may depend on their gas.
contract MarketLens is IMarketLens {
    /// @inheritdoc IMarketLens
    ITaskMarket public immutable market;

    constructor(address market_) {
        if (market_ == address(0)) revert Errors.Market_ZeroAddress();
        market = ITaskMarket(market_);
    }

    /// @inheritdoc IMarketLens
    function rankedTasks(uint256 firstId, uint256 count) external view returns (RankedTask[] memory) {
        (uint256 first, uint256 last) = _clip(firstId, count);
        uint256 agingSeconds = params().agingSeconds;
        RankedTask[] memory rows = new RankedTask[](last - first);
        uint256 found;
        for (uint256 taskId = first; taskId < last; ++taskId) {
            (Phase phase, bool due,) = market.phaseOf(taskId);
            if (phase == Phase.Training && !due) _insert(rows, found++, _rowOf(taskId, agingSeconds));
        }
        RankedTask[] memory ranked = new RankedTask[](found);
        for (uint256 i; i < found; ++i) {
            ranked[i] = rows[i];
        }
        return ranked;
    }

    /// @inheritdoc IMarketLens
    function phases(uint256 firstId, uint256 count)
        external
        view
        returns (Phase[] memory phase, bool[] memory due, uint40[] memory endsAt)
    {
        (uint256 first, uint256 last) = _clip(firstId, count);
        phase = new Phase[](last - first);
        due = new bool[](last - first);
        endsAt = new uint40[](last - first);
        for (uint256 i; i < last - first; ++i) {
            (phase[i], due[i], endsAt[i]) = market.phaseOf(first + i);
        }
    }

    /// @inheritdoc IMarketLens
    function params() public view returns (Params memory) {
        return market.rules().params();
    }

    /// @inheritdoc IMarketLens
    function quoteDifficulty(Terms calldata terms) external view returns (uint64) {
        (, uint256 openTasks,) = market.counters();
        return market.rules().difficultyOf(terms.workload, openTasks + 1);
    }

    /// @inheritdoc IMarketLens
    function verifyProof(TrainingProof calldata proof, Claim calldata claim, bytes calldata signature)
        external
        view
        returns (bool)
    {
        bytes32 digest = market.proofDigest(proof);
        Entry memory entry = market.entryOf(proof.taskId, proof.round, proof.miner);
        if (!entry.hasRevealed || entry.digest != ProofLib.claimHash(digest, claim)) return false;
        bytes32 signed = ProofLib.claimDigest(market.domainSeparator(), digest, claim);
        return SignatureLib.isValid(proof.miner, signed, signature);
    }

    /// @inheritdoc IMarketLens
    function locksOf(uint256 taskId, address account) external view returns (Lock[] memory) {
        Task memory task = market.taskOf(taskId);
        if (task.requester == address(0)) revert Errors.Market_UnknownTask(taskId);
        // at most bounty, bond, one deposit a round and one share of the bond
        Lock[] memory rows = new Lock[](uint256(task.round) + 4);
        uint256 found;
        if (task.requester == account && task.outcome == Outcome.None) {
            (rows[0], rows[1]) = _requesterLocks(taskId, task);
            found = 2;
        }
        for (uint16 index; index <= task.round; ++index) {
            found = _addDepositLocks(rows, found, taskId, task, index, account);
        }
        Lock[] memory locks = new Lock[](found);
        for (uint256 i; i < found; ++i) {
            locks[i] = rows[i];
        }
        return locks;
    }

    /// @return count of rows after the deposit, and of an aborted round the share of the bond, are added
    function _addDepositLocks(
        Lock[] memory rows,
        uint256 found,
        uint256 taskId,
        Task memory task,
        uint16 index,
        address account
    ) private view returns (uint256 count) {
        Entry memory entry = market.entryOf(taskId, index, account);
        if (!entry.holdsDeposit) return found;
        Round memory round = market.roundOf(taskId, index);
        // an unrevealed deposit is lost, not locked, once reveals are over
        if (!entry.hasRevealed && round.revealEnd != 0 && block.timestamp >= round.revealEnd) return found;
        Lock memory row = _depositLock(taskId, task, index, round, entry, round.leader == account);
        rows[found++] = row;
        if (index == task.round && task.outcome == Outcome.Aborted) {
            (uint256 shareWei,) = PayoutLib.abortion(task.bondWei, round.commits - round.strikes);
            rows[found++] = Lock(LockKind.Bond, index, shareWei, row.freeAt, row.freedBy);
        }
        return found;
    }

    function _requesterLocks(uint256 taskId, Task memory task)
        private
        view
        returns (Lock memory bounty, Lock memory bond)
    {
        (Phase phase, bool due, uint40 endsAt) = market.phaseOf(taskId);
        Round memory round = market.roundOf(taskId, task.round);
        string memory freedBy = "advance(taskId)";
        uint40 freeAt = endsAt;
        if (phase == Phase.Training && !due && round.commits == 0 && task.round == 0) {
            (freedBy, freeAt) = ("cancel(taskId)", task.postedAt);
        } else if (phase == Phase.Training && round.commits != 0) {
            (freedBy, freeAt) = ("release(taskId, testSet, testKey), then advance(taskId)", 0);
        } else if (phase == Phase.Releasing && !due) {
            freedBy = "release(taskId, testSet, testKey), else advance(taskId) with half of the bond lost";
        } else if (round.leader != address(0) && phase != Phase.Challenge) {
            (freedBy, freeAt) = ("open(...) by the leader, or its strike by advance(taskId)", 0);
        } else if (round.nominateEnd > freeAt && phase == Phase.Revealing) {
            // the leader was displaced: a nominating window follows
            freeAt = round.nominateEnd;
        }
        bounty =
            Lock(LockKind.Bounty, task.round, uint256(task.bountyWei) * (task.rounds - task.round), freeAt, freedBy);
        bond = Lock(LockKind.Bond, task.round, task.bondWei, freeAt, freedBy);
    }

    function _depositLock(
        uint256 taskId,
        Task memory task,
        uint16 index,
        Round memory round,
        Entry memory entry,
        bool isLeader
    ) private view returns (Lock memory) {
        string memory freedBy = "reclaim(taskId, round, miner)";
        uint40 freeAt;
        if (index < task.round || task.outcome != Outcome.None) {
            freeAt = task.postedAt;
        } else if (!entry.hasRevealed) {
            (, bool due, uint40 endsAt) = market.phaseOf(taskId);
            freedBy = "reveal(...) once the test set is released, then reclaim(taskId, round, miner)";
            // not released in time
            if (due) (freedBy, freeAt) = ("advance(taskId), then reclaim(taskId, round, miner)", endsAt);
        } else if (!entry.qualifies) {
            freeAt = round.revealEnd;
        } else if (isLeader && round.challengeEnd == 0) {
            freedBy = "open(...) if it leads when reveals end, then reclaim(taskId, round, miner) once settled";
        } else {
            freedBy = "advance(taskId) until the round is cold, then reclaim(taskId, round, miner)";
            freeAt = round.challengeEnd;
        }
        return Lock(LockKind.Deposit, index, task.depositWei, freeAt, freedBy);
    }

    function _rowOf(uint256 taskId, uint256 agingSeconds) private view returns (RankedTask memory) {
        Task memory task = market.taskOf(taskId);
        Round memory round = market.roundOf(taskId, task.round);
        return RankedTask({
            taskId: taskId,
            rank: DifficultyLib.rankDown(
                task.bountyWei, block.timestamp - task.postedAt, agingSeconds, task.difficulty
            ),
            bountyWei: task.bountyWei,
            difficulty: task.difficulty,
            postedAt: task.postedAt,
            trainEnd: round.trainEnd,
            commits: round.commits
        });
    }

    /// @dev Insertion sort, best rank first; of equal ranks the lower id stays first.
    function _insert(RankedTask[] memory rows, uint256 found, RankedTask memory row) private pure {
        uint256 i = found;
        for (; i > 0 && rows[i - 1].rank < row.rank; --i) {
            rows[i] = rows[i - 1];
        }
        rows[i] = row;
    }

    /// @return first at least 1
    /// @return last one past the end; at least first
    function _clip(uint256 firstId, uint256 count) private view returns (uint256 first, uint256 last) {
        (uint256 tasks,,) = market.counters();
        first = firstId == 0 ? 1 : firstId;
        uint256 end = tasks + 1;
        if (first > end) first = end;
        last = count < end - first ? first + count : end;
    }
}
