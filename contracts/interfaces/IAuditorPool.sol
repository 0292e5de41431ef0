// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Case,
    ClaimRef,
    Fault,
    LabelProof,
    PoolParams,
    PredictionLeaf,
    Ruling,
    Stake,
    SumNode,
    Tally,
    Verdict
} from "../types/Task.sol";
import {ILedger} from "./ILedger.sol";
import {IPoolRules} from "./IPoolRules.sol";
import {ITaskMarket} from "./ITaskMarket.sol";

/// @title IAuditorPool
/// @notice Stakes and dividends of auditors; disputes, impeachments and their votes; refutations and demands. Every
/// rule number (P-n, M-n) is explained in docs/protocol.md.
/// Assumes: its market is a TaskMarket that names this pool; who stakes does so from an account of its own.
interface IAuditorPool is ILedger {
    event Staked(address indexed auditor, uint256 amountWei, uint40 readyAt);
    event StakeActivated(address indexed auditor, uint256 amountWei, uint256 activeWei);
    event UnstakeBegun(address indexed auditor, uint256 amountWei, uint40 freeAt);
    event UnstakeFinished(address indexed auditor, uint256 amountWei);
    event FeesCollected(uint256 amountWei);
    event DividendPaid(address indexed auditor, uint256 paidWei, uint256 returnedWei, uint256 ballots, uint256 votes);
    event TestSetImpeached(
        bytes32 indexed caseId, uint256 indexed taskId, uint16 round, address filer, bytes32 evidence
    );
    event ClaimDisputed(
        bytes32 indexed caseId,
        uint256 indexed taskId,
        uint16 round,
        address miner,
        address filer,
        uint16 grounds,
        bytes32 evidence,
        uint40[] samples
    );
    event VoteCommitted(bytes32 indexed caseId, uint8 attempt, address indexed voter, bytes32 ballot, uint256 lockWei);
    event VoteRevealed(bytes32 indexed caseId, uint8 attempt, address indexed voter, Verdict verdict, uint256 lockWei);
    event VoteResolved(
        bytes32 indexed caseId,
        uint8 attempt,
        Ruling ruling,
        uint256 standsWei,
        uint256 fallsWei,
        uint256 unavailableWei,
        uint256 snapshotWei
    );
    event VoteCollected(
        bytes32 indexed caseId, uint8 attempt, address indexed voter, uint256 lockWei, uint256 shareWei
    );
    event BondCollected(bytes32 indexed caseId, address indexed filer, uint256 amountWei);
    event ClaimRefuted(
        uint256 indexed taskId, uint16 indexed round, address indexed miner, address refuter, Fault fault, uint256 index
    );
    event PredictionDemanded(
        uint256 indexed taskId,
        uint16 indexed round,
        address indexed miner,
        address demander,
        uint256 index,
        uint40 demandEnd
    );
    event PredictionShown(
        uint256 indexed taskId,
        uint16 indexed round,
        address indexed miner,
        address answerer,
        uint256 index,
        PredictionLeaf leaf,
        SumNode[] path
    );
    event DemandClosed(
        uint256 indexed taskId, uint16 indexed round, address indexed miner, address demander, uint256 index
    );

    // ---------------------------------------------------------------- stakes (P-56, P-60)

    /// @notice Adds the value sent to the caller's pending stake; it earns and votes once activated. Warning: adding
    /// to a stake that is not ready yet starts the wait for all of it again; one that is ready is activated first.
    function stake() external payable;

    /// @notice Makes an auditor's pending stake active once its time has come. Anyone may call it.
    function activate(address auditor) external;

    /// @notice Begins to take stake out, pending before active. It stops earning and voting now and is paid by
    /// finishUnstake after the unbonding period. Locks in votes are not part of it: they left the stake when the vote
    /// was committed, so leaving cannot shrink a slash. Warning: a second call starts the period again for all of it.
    function unstake(uint256 amountWei) external;

    /// @notice Credits an auditor what has finished unbonding. Anyone may call it.
    function finishUnstake(address auditor) external;

    /// @notice Pulls what the market owes the pool and shares it out among active stakes. Anyone may call it.
    function collectFees() external;

    /// @notice Credits the caller its dividends x (votes it revealed and collected / votes resolved) since the last
    /// time; the rest returns to the pool. For the caller only. Warning: a resolved vote whose ballot is not collected
    /// yet counts as missed; collect first.
    function claimDividends() external;

    // ---------------------------------------------------------------- disputes and votes (P-45, P-52 to P-55)

    /// @notice Says that a released test set is unavailable or not the committed one, until revealEnd. Send the bond.
    function impeach(uint256 taskId, bytes32 evidence) external payable returns (bytes32 caseId);

    /// @notice Disputes the opened claim of a round until challengeEnd. Send the bond.
    /// @param grounds bits: 1 Score, 2 Hash, 4 Unavailable, 8 Architecture, 16 NoWatermark, 32 Copied, 64 Samples
    /// @param evidence locator of the evidence; only emitted
    /// @param samples one to eight indices iff grounds include Samples (M-8); only emitted. Nobody votes on one beyond n
    function dispute(uint256 taskId, uint16 grounds, bytes32 evidence, uint40[] calldata samples)
        external
        payable
        returns (bytes32 caseId);

    /// @notice Casts the caller's sealed ballot; lockBps of its weight moves from its stake into the vote (P-54).
    /// @param ballot H(pool, disputeId, voter, verdict, salt)
    function commitVote(bytes32 caseId, bytes32 ballot) external;

    /// @notice Opens a ballot. Anyone who knows it may send it.
    /// @param lockWei what the ballot locked, as VoteCommitted says
    function revealVote(bytes32 caseId, address voter, Verdict verdict, uint256 lockWei, bytes32 salt) external;

    /// @notice Counts the vote of a task once its time is up and tells the market. Anyone may call it;
    /// TaskMarket.advance does.
    function resolve(uint256 taskId) external returns (Ruling ruling);

    /// @notice After a vote: returns a revealed ballot's lock to the voter's stake unless it lost, and credits its
    /// share of the pot if it won. Anyone may call it.
    function collectVote(bytes32 caseId, uint8 attempt, address voter) external;

    /// @notice Returns the lock of a ballot that was never revealed because its vote ended without a ruling (P-58).
    function recoverVote(bytes32 caseId, uint8 attempt, address voter, bytes32 ballot, uint256 lockWei) external;

    /// @notice After a ruling, or once the claim was struck without one: credits a filer its bond, and its share of the
    /// struck deposit. Anyone may call it.
    function collectBond(bytes32 caseId, address filer) external;

    // ---------------------------------------------------------------- refutations and demands (M-6, M-7)

    /// @notice Strikes a qualifying claim whose own prediction tree proves it false. No bond; a third of the deposit is
    /// the caller's.
    /// @param path from the leaf up, one element a level
    function refute(
        ClaimRef calldata ref,
        uint256 index,
        PredictionLeaf calldata leaf,
        SumNode[] calldata path,
        LabelProof calldata label
    ) external returns (Fault fault);

    /// @notice Asks the leader, during Opening and Challenge, to show one leaf of its prediction tree. Send
    /// demandBondWei.
    function demand(ClaimRef calldata ref, uint256 index) external payable;

    /// @notice Shows a demanded leaf and takes the bond. Anyone who has the predictions may.
    function answer(ClaimRef calldata ref, uint256 index, PredictionLeaf calldata leaf, SumNode[] calldata path)
        external;

    /// @notice Returns the bond of an unanswered demand once its claim was struck. Anyone may call it.
    function closeDemand(uint256 taskId, uint16 round, address miner, uint256 index) external;

    // ---------------------------------------------------------------- views

    function market() external view returns (ITaskMarket);
    /// @notice What checks claims and paths for it.
    function rules() external view returns (IPoolRules);
    function poolParams() external view returns (PoolParams memory);
    function stakeOf(address auditor) external view returns (Stake memory);
    /// @notice Active stake of an auditor at a past moment.
    function stakeAt(address auditor, uint40 time) external view returns (uint256 activeWei);
    /// @return activeWei of all auditors now
    /// @return waitingWei dividends that are not shared out yet
    function totals() external view returns (uint256 activeWei, uint256 waitingWei);
    /// @notice Active stake of all auditors at a past moment.
    function totalStakeAt(uint40 time) external view returns (uint256 activeWei);
    /// @return accruedWei before participation
    /// @return ballots first votes collected since the last dividend
    /// @return votes first votes resolved since then that the auditor could take part in
    function dividendOf(address auditor) external view returns (uint256 accruedWei, uint256 ballots, uint256 votes);
    function caseIdOf(uint256 taskId, uint16 round, address subject) external pure returns (bytes32);
    function disputeIdOf(bytes32 caseId, uint8 attempt) external pure returns (bytes32);
    function caseOf(bytes32 caseId) external view returns (Case memory);
    function tallyOf(bytes32 caseId, uint8 attempt) external view returns (Tally memory);
    /// @notice What a vote of this attempt ruled: Repeat for a first vote without quorum, None if it has no ruling.
    function rulingOf(bytes32 caseId, uint8 attempt) external view returns (Ruling);
    /// @notice What a ballot of this voter would lock if it were committed now (P-54).
    function lockFor(bytes32 caseId, address voter) external view returns (uint256 lockWei);
    /// @return start when committing to ballots begins
    /// @return commitEnd when committing ends and revealing begins
    /// @return revealEnd when the vote can be resolved
    function windowsOf(bytes32 caseId) external view returns (uint40 start, uint40 commitEnd, uint40 revealEnd);
    function hasFiled(bytes32 caseId, address filer) external view returns (bool);
    /// @return sealed_ H(ballot, lockWei) until the ballot is revealed, then verdict and lockWei packed; zero = none
    function ballotOf(bytes32 caseId, uint8 attempt, address voter) external view returns (bytes32 sealed_);
    /// @return demander zero if there is no open demand
    function demandOf(uint256 taskId, uint16 round, address miner, uint256 index)
        external
        view
        returns (address demander);
}
