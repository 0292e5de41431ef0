// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BallotLib} from "../../contracts/libraries/BallotLib.sol";
import {MerkleLib} from "../../contracts/libraries/MerkleLib.sol";
import {RefutationLib} from "../../contracts/libraries/RefutationLib.sol";
import {SnapshotLib} from "../../contracts/libraries/SnapshotLib.sol";
import {StakeLib} from "../../contracts/libraries/StakeLib.sol";
import {TallyLib} from "../../contracts/libraries/TallyLib.sol";
import {VotePayoutLib} from "../../contracts/libraries/VotePayoutLib.sol";
import {
    ClaimRef,
    Fault,
    LabelProof,
    PredictionLeaf,
    Round,
    Ruling,
    SumNode,
    Verdict
} from "../../contracts/types/Task.sol";

/// @title PoolHarness
/// @dev Opens the pool's internal libraries to tests, from Solidity and from Python.
contract PoolHarness {
    using SnapshotLib for SnapshotLib.Trace;

    SnapshotLib.Trace private _trace;
    SnapshotLib.Times private _times;
    uint256 private _count;

    // ---------------------------------------------------------------- tallies

    function rulingOf(
        uint256 standsWei,
        uint256 fallsWei,
        uint256 unavailableWei,
        uint256 snapshotWei,
        uint256 lockBps,
        uint256 attempt
    ) external pure returns (Ruling) {
        return TallyLib.rulingOf(standsWei, fallsWei, unavailableWei, snapshotWei, lockBps, attempt);
    }

    function hasWon(Ruling ruling, Verdict verdict) external pure returns (bool) {
        return TallyLib.hasWon(ruling, verdict);
    }

    function lossDown(Ruling ruling, Verdict verdict, uint256 lockWei) external pure returns (uint256) {
        return TallyLib.lossDown(ruling, verdict, lockWei);
    }

    // ---------------------------------------------------------------- payouts

    function bondUp(uint256 bountyWei) external pure returns (uint256) {
        return VotePayoutLib.bondUp(bountyWei);
    }

    function falls(uint256 forfeitWei, uint256 losersWei, bool isClaim)
        external
        pure
        returns (uint256 filersWei, uint256 votersWei)
    {
        return VotePayoutLib.falls(forfeitWei, losersWei, isClaim);
    }

    function stands(uint256 bondsWei, uint256 losersWei)
        external
        pure
        returns (uint256 defendantWei, uint256 votersWei)
    {
        return VotePayoutLib.stands(bondsWei, losersWei);
    }

    function noQuorum(uint256 bondWei, bool isClaim) external pure returns (uint256 defendantWei, uint256 filerWei) {
        return VotePayoutLib.noQuorum(bondWei, isClaim);
    }

    function shareDown(uint256 potWei, uint256 weight, uint256 weights) external pure returns (uint256) {
        return VotePayoutLib.shareDown(potWei, weight, weights);
    }

    // ---------------------------------------------------------------- stakes

    function share(uint256 waitingWei, uint256 totalWei, uint160 paidIndex)
        external
        pure
        returns (uint160 index, uint256 sharedWei)
    {
        return StakeLib.share(waitingWei, totalWei, paidIndex);
    }

    function earnedDown(uint256 activeWei, uint160 index, uint160 paidIndex) external pure returns (uint256) {
        return StakeLib.earnedDown(activeWei, index, paidIndex);
    }

    function weighByVotes(uint256 accruedWei, uint256 ballots, uint256 votes)
        external
        pure
        returns (uint256 paidWei, uint256 returnedWei)
    {
        return StakeLib.weighByVotes(accruedWei, ballots, votes);
    }

    function lockDown(uint256 snapshotWei, uint256 activeWei, uint256 lockBps) external pure returns (uint256) {
        return StakeLib.lockDown(snapshotWei, activeWei, lockBps);
    }

    // ---------------------------------------------------------------- traces

    function push(uint40 time, uint96 amountWei) external {
        _trace.push(time, amountWei);
    }

    function amountAt(uint256 time) external view returns (uint96) {
        return _trace.amountAt(time);
    }

    function points() external view returns (uint256) {
        return _trace.points.length;
    }

    function pushTime(uint40 time) external {
        _times.times[_count++] = time;
    }

    function countAfter(uint256 time) external view returns (uint256) {
        return SnapshotLib.countAfter(_times, _count, time);
    }

    // ---------------------------------------------------------------- ballots and trees

    function ballot(address pool, bytes32 disputeId, address voter, Verdict verdict, bytes32 salt)
        external
        pure
        returns (bytes32)
    {
        return BallotLib.ballot(pool, disputeId, voter, verdict, salt);
    }

    function seal(bytes32 ballot_, uint256 lockWei) external pure returns (bytes32) {
        return BallotLib.seal(ballot_, lockWei);
    }

    function pack(Verdict verdict, uint256 lockWei) external pure returns (bytes32) {
        return BallotLib.pack(verdict, lockWei);
    }

    function unpack(bytes32 stored) external pure returns (Verdict verdict, uint256 lockWei) {
        return BallotLib.unpack(stored);
    }

    function depthOf(uint256 leaves) external pure returns (uint256) {
        return MerkleLib.depthOf(leaves);
    }

    function labelsRoot(uint256 label, uint256 index, bytes32[] calldata path) external pure returns (bytes32) {
        return MerkleLib.labelsRoot(label, index, path);
    }

    function faultOf(
        bytes32 proofDigest,
        ClaimRef calldata ref,
        Round calldata round,
        uint256 index,
        PredictionLeaf calldata leaf,
        SumNode[] calldata path,
        LabelProof calldata label
    ) external pure returns (Fault) {
        return RefutationLib.faultOf(proofDigest, ref, round, index, leaf, path, label);
    }
}
