// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAuditorPool} from "./interfaces/IAuditorPool.sol";
import {IMarketLens} from "./interfaces/IMarketLens.sol";
import {ITaskMarket} from "./interfaces/ITaskMarket.sol";
import {DifficultyLib} from "./libraries/DifficultyLib.sol";
import {Errors} from "./libraries/Errors.sol";
import {PayoutLib} from "./libraries/PayoutLib.sol";
import {PhaseLib} from "./libraries/PhaseLib.sol";
import {ProofLib} from "./libraries/ProofLib.sol";
import {SignatureLib} from "./libraries/SignatureLib.sol";
import {VotePayoutLib} from "./libraries/VotePayoutLib.sol";
import {
    Case,
    Claim,
    Entry,
    Lock,
    LockKind,
    Outcome,
    Params,
    Phase,
    RankedTask,
    Round,
    Ruling,
    Stake,
    Task,
    Terms,
    TrainingProof,
    Vote
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
        IAuditorPool pool = _pool();
        // at most bounty, bond and one share of it; of a round one deposit and the bonds of two cases
        Lock[] memory rows = new Lock[](3 * uint256(task.round) + 6);
        uint256 found;
        if (task.requester == account && task.outcome == Outcome.None) {
            (rows[0], rows[1]) = _requesterLocks(taskId, task);
            found = 2;
        }
        for (uint16 index; index <= task.round; ++index) {
            Round memory round = market.roundOf(taskId, index);
            found = _addDepositLocks(rows, found, taskId, task, index, round, account);
            if (address(pool) == address(0)) continue;
            found = _addBondLock(rows, found, pool, pool.caseIdOf(taskId, index, address(0)), index, account);
            if (round.leader == address(0)) continue;
            found = _addBondLock(rows, found, pool, pool.caseIdOf(taskId, index, round.leader), index, account);
        }
        return _cut(rows, found);
    }

    /// @inheritdoc IMarketLens
    function stakesOf(address account) external view returns (Lock[] memory) {
        IAuditorPool pool = _pool();
        if (address(pool) == address(0)) return new Lock[](0);
        Stake memory stake = pool.stakeOf(account);
        Lock[] memory rows = new Lock[](3);
        uint256 found;
        if (stake.activeWei != 0) {
            rows[found++] = Lock(
                LockKind.Stake,
                0,
                stake.activeWei,
                uint40(block.timestamp),
                "pool.unstake(amountWei), then pool.finishUnstake(auditor) after the unbonding period"
            );
        }
        if (stake.pendingWei != 0) {
            rows[found++] = Lock(LockKind.PendingStake, 0, stake.pendingWei, stake.readyAt, "pool.activate(auditor)");
        }
        if (stake.unbondingWei != 0) {
            rows[found++] =
                Lock(LockKind.UnbondingStake, 0, stake.unbondingWei, stake.freeAt, "pool.finishUnstake(auditor)");
        }
        return _cut(rows, found);
    }

    /// @return pool zero if the market was deployed with an account that has no code for it
    function _pool() private view returns (IAuditorPool pool) {
        address account = params().pool;
        if (account.code.length != 0) pool = IAuditorPool(account);
    }

    /// @return count of rows after the bond of an account that filed this case is added
    function _addBondLock(
        Lock[] memory rows,
        uint256 found,
        IAuditorPool pool,
        bytes32 caseId,
        uint16 index,
        address account
    ) private view returns (uint256 count) {
        if (!pool.hasFiled(caseId, account)) return found;
        Case memory case_ = pool.caseOf(caseId);
        // lost
        if (case_.ruling == Ruling.Stands) return found;
        string memory freedBy = "pool.collectBond(caseId, filer)";
        uint256 amountWei = case_.bondWei;
        uint40 freeAt = case_.voteStart;
        if (case_.ruling == Ruling.None) {
            (freedBy, freeAt) = ("advance(taskId) once the vote is over, then pool.collectBond(caseId, filer)", 0);
        } else if (case_.ruling == Ruling.NoQuorum) {
            (, amountWei) = VotePayoutLib.noQuorum(amountWei, case_.subject != address(0));
        }
        rows[found] = Lock(LockKind.DisputeBond, index, amountWei, freeAt, freedBy);
        return found + 1;
    }

    /// @return count of rows after the deposit, and of an aborted round the share of the bond, are added
    function _addDepositLocks(
        Lock[] memory rows,
        uint256 found,
        uint256 taskId,
        Task memory task,
        uint16 index,
        Round memory round,
        address account
    ) private view returns (uint256 count) {
        Entry memory entry = market.entryOf(taskId, index, account);
        if (!entry.holdsDeposit) return found;
        bool isAborted = index == task.round && task.outcome == Outcome.Aborted;
        // an unrevealed deposit is lost, not locked, once reveals are over, unless the test set falls
        bool mayComeBack = entry.hasRevealed || isAborted || round.vote == Vote.TestSet;
        if (!mayComeBack && round.revealEnd != 0 && block.timestamp >= round.revealEnd) return found;
        Lock memory row = _depositLock(taskId, task, index, round, entry, round.leader == account);
        rows[found++] = row;
        if (isAborted) {
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
        } else if (round.vote != Vote.None) {
            (freedBy, freeAt) = ("advance(taskId) once the vote is over, then as it rules", _voteEnd(round));
        } else if (round.leader != address(0) && phase != Phase.Challenge) {
            (freedBy, freeAt) = ("open(...) by the leader, or its strike by advance(taskId)", 0);
        } else if (round.nominateEnd > freeAt && phase == Phase.Revealing) {
            // the leader was displaced or struck: a nominating window follows
            freeAt = round.nominateEnd;
        } else if (round.demandEnd > freeAt && round.openDemands != 0) {
            // settled if the demands are answered by then, else the leader is struck
            freeAt = round.demandEnd;
        }
        bounty =
            Lock(LockKind.Bounty, task.round, uint256(task.bountyWei) * (task.rounds - task.round), freeAt, freedBy);
        bond = Lock(LockKind.Bond, task.round, task.bondWei, freeAt, freedBy);
    }

    /// @return voteEnd from when on advance counts the vote, or strikes a leader that did not answer
    function _voteEnd(Round memory round) private view returns (uint40 voteEnd) {
        uint40 firstStart = round.vote == Vote.TestSet ? round.revealEnd : round.challengeEnd;
        (,, voteEnd) = PhaseLib.voteWindows(firstStart, round.voteStart, params().voteSeconds);
        if (round.openDemands != 0 && round.demandEnd > voteEnd) voteEnd = round.demandEnd;
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
        } else if (!entry.hasRevealed && block.timestamp >= round.revealEnd && round.revealEnd != 0) {
            freedBy = "reclaim(taskId, round, miner) if the test set falls; lost if it stands";
        } else if (!entry.hasRevealed) {
            (, bool due, uint40 endsAt) = market.phaseOf(taskId);
            freedBy = "reveal(...) once the test set is released, then reclaim(taskId, round, miner)";
            // not released in time
            if (due) (freedBy, freeAt) = ("advance(taskId), then reclaim(taskId, round, miner)", endsAt);
        } else if (!entry.qualifies) {
            freeAt = round.revealEnd;
            if (round.vote == Vote.TestSet) {
                (freedBy, freeAt) = ("reclaim(taskId, round, miner) once the vote on the test set is over", 0);
            }
        } else if (isLeader && round.openDemands != 0) {
            freedBy = "pool.answer(...) for every open demand, then reclaim(taskId, round, miner) once settled";
        } else if (isLeader && round.challengeEnd == 0) {
            freedBy = "open(...) if it leads when reveals end, then reclaim(taskId, round, miner) once settled";
        } else if (isLeader && round.vote == Vote.Claim) {
            freedBy = "reclaim(taskId, round, miner) once settled, if the claim stands; lost if it falls";
        } else {
            freedBy = "advance(taskId) until the round is cold, then reclaim(taskId, round, miner)";
            // whatever is disputed or demanded may fall
            if (round.vote == Vote.None && round.openDemands == 0) freeAt = round.challengeEnd;
        }
        return Lock(LockKind.Deposit, index, task.depositWei, freeAt, freedBy);
    }

    function _cut(Lock[] memory rows, uint256 count) private pure returns (Lock[] memory locks) {
        locks = new Lock[](count);
        for (uint256 i; i < count; ++i) {
            locks[i] = rows[i];
        }
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
