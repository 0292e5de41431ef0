// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claim, Entry, Phase, Reason, Round, Ruling, Task, Terms, TestSet, TrainingProof, Vote} from "../types/Task.sol";
import {ILedger} from "./ILedger.sol";
import {IMarketRules} from "./IMarketRules.sol";
import {IModelRegistry} from "./IModelRegistry.sol";

/// @title ITaskMarket
/// @notice Bounties, deposits and rounds of training tasks. Calls are listed as a task lives. Every rule number
/// (P-n, M-n) is explained in docs/protocol.md.
/// Assumes: block timestamps rise and lie within minutes of true time; keccak256 and sha256 have no collisions.
interface ITaskMarket is ILedger {
    event TaskPosted(
        uint256 indexed taskId,
        address indexed requester,
        bytes32 termsHash,
        uint64 difficulty,
        Terms terms,
        bytes32[] testCommitments
    );
    event TaskCancelled(uint256 indexed taskId);
    event ModelCommitted(
        uint256 indexed taskId,
        uint16 indexed round,
        address indexed miner,
        bytes32 commitment,
        uint64 commitSeq,
        bytes32 recovery
    );
    event TestSetReleased(
        uint256 indexed taskId, uint16 indexed round, TestSet testSet, bytes32 testKey, uint40 revealEnd
    );
    event ClaimRevealed(
        uint256 indexed taskId,
        uint16 indexed round,
        address indexed miner,
        TrainingProof proof,
        Claim claim,
        bytes32 salt,
        bytes32 hTop,
        bytes signature,
        bool qualifies
    );
    event ClaimDisplaced(uint256 indexed taskId, uint16 indexed round, address indexed miner, address owner);
    event ClaimNominated(uint256 indexed taskId, uint16 indexed round, address indexed miner);
    event ModelOpened(
        uint256 indexed taskId,
        uint16 indexed round,
        address indexed miner,
        bytes32 sealKey,
        bytes32 slotKey,
        bytes32[] slotPath,
        uint40 challengeEnd
    );
    event RoundSettled(
        uint256 indexed taskId,
        uint16 indexed round,
        address indexed miner,
        uint256 paidWei,
        uint256 feeWei,
        uint256 royaltyWei
    );
    event TaskVoided(uint256 indexed taskId, uint16 indexed round);
    event TaskAborted(uint256 indexed taskId, uint16 indexed round);
    event DepositReclaimed(uint256 indexed taskId, uint16 indexed round, address indexed miner, uint256 amountWei);
    event VoteCalled(uint256 indexed taskId, uint16 indexed round, Vote vote, address subject, uint40 voteStart);
    event VoteConcluded(uint256 indexed taskId, uint16 indexed round, Vote vote, Ruling ruling);
    event ClaimStruck(uint256 indexed taskId, uint16 indexed round, address indexed miner, Reason reason);

    // ---------------------------------------------------------------- as a task lives

    /// @notice Posts a task (P-11, P-12). Send exactly bountyWei x rounds + bondWei.
    /// @param testCommitments one per round; H(TestSet)
    function post(Terms calldata terms, bytes32[] calldata testCommitments) external payable returns (uint256 taskId);

    /// @notice Takes a task back before its first commit; everything is credited to the requester (P-14).
    function cancel(uint256 taskId) external;

    /// @notice Commits to a sealed model during Training (P-30). Send the deposit with the first commit of a round,
    /// nothing with a replacement. Warning: a replacement takes a new commitSeq.
    /// @param termsHash the terms the miner trained for; protects against a reorg that re-points an id (P-15)
    /// @param recovery locator of the proof encrypted under the miner's own key; only emitted
    function commit(uint256 taskId, uint16 round, bytes32 termsHash, bytes32 commitment, bytes32 recovery)
        external
        payable;

    /// @notice Publishes the test set's preimage and key; Revealing starts now (P-40). Requester only.
    function release(uint256 taskId, TestSet calldata testSet, bytes32 testKey) external;

    /// @notice Reveals a miner's claim (P-41). Anyone may send it; the signature is the miner's.
    /// @param salt opens the commitment H(proofDigest, salt)
    /// @param hTop top hash of the prediction tree (M-5)
    /// @param signature over the EIP-712 ScoreClaim: 65 bytes r, s, v with low s, or whatever the miner's contract
    /// accepts by ERC-1271
    function reveal(
        TrainingProof calldata proof,
        bytes32 salt,
        Claim calldata claim,
        bytes32 hTop,
        bytes calldata signature
    ) external;

    /// @notice During Nominating, puts forward an unstruck qualifying claim; the best one leads (P-43).
    function nominate(uint256 taskId, address miner) external;

    /// @notice Opens the leading model: its sealing key and slot 0 of its watermark (P-50). Anyone may send it.
    function open(
        TrainingProof calldata proof,
        Claim calldata claim,
        bytes32 sealKey,
        bytes32 slotKey,
        bytes32[] calldata slotPath
    ) external;

    /// @notice Writes the fact that time has made due: settlement, strike of a leader that was silent or did not show a
    /// demanded prediction, the ruling of a vote, abortion or void (P-4). Anyone may call it. Reverts with
    /// Market_NothingDue while the phase is still running.
    function advance(uint256 taskId) external;

    /// @notice Credits a miner its deposit once it is free (P-61), with its share of the bond if aborted (P-21). While
    /// auditors vote on the test set nothing of its round is free, because that share may come to it.
    function reclaim(uint256 taskId, uint16 round, address miner) external;

    // ---------------------------------------------------------------- what only the auditor pool may do

    /// @notice Notes that a round's test set (during Revealing) or its leader's claim (during Challenge) is disputed.
    /// @return round the current one
    /// @return subject the leader; zero for the test set
    /// @return voteStart when committing to ballots begins
    /// @return snapshotAt the release or the opening: weights are the stakes of that moment (P-54)
    /// @return bountyWei per round
    function callVote(uint256 taskId, Vote vote)
        external
        returns (uint16 round, address subject, uint40 voteStart, uint40 snapshotAt, uint256 bountyWei);

    /// @notice Applies a ruling once the vote's time is up and no demand is open (P-45, P-55).
    /// @return potWei of what this credits to the pool, the part that is the voters' and the filers'
    function conclude(uint256 taskId, Ruling ruling) external returns (uint256 potWei);

    /// @notice Strikes a qualifying claim that was refuted (M-6): a third of its deposit to the refuter, the rest to the
    /// pool.
    function strike(uint256 taskId, uint16 round, address miner, address refuter) external;

    /// @notice Notes a demand against the leader, during Opening and Challenge (M-7).
    /// @return demandEnd until when it can be answered
    function noteDemand(uint256 taskId, uint16 round, address miner) external returns (uint40 demandEnd);

    /// @notice Notes that a demand was answered in time.
    function noteAnswer(uint256 taskId, uint16 round, address miner) external;

    // ---------------------------------------------------------------- views

    function phaseOf(uint256 taskId) external view returns (Phase phase, bool due, uint40 endsAt);
    function taskOf(uint256 taskId) external view returns (Task memory);
    function roundOf(uint256 taskId, uint16 round) external view returns (Round memory);
    function entryOf(uint256 taskId, uint16 round, address miner) external view returns (Entry memory);
    /// @return tasks posted so far; ids run from 1 to this number
    /// @return openTasks tasks not yet cold
    /// @return commits the last commitSeq
    function counters() external view returns (uint256 tasks, uint256 openTasks, uint256 commits);
    /// @notice What the market was deployed with.
    function rules() external view returns (IMarketRules);
    function registry() external view returns (IModelRegistry);
    function domainSeparator() external view returns (bytes32);
    function proofDigest(TrainingProof calldata proof) external view returns (bytes32);
}
