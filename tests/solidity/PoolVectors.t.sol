// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BallotLib} from "../../contracts/libraries/BallotLib.sol";
import {MerkleLib} from "../../contracts/libraries/MerkleLib.sol";
import {ProofLib} from "../../contracts/libraries/ProofLib.sol";
import {RefutationLib} from "../../contracts/libraries/RefutationLib.sol";
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
    TestSet,
    Verdict
} from "../../contracts/types/Task.sol";
import {VectorReader} from "./VectorReader.sol";

/// @dev Opens what takes calldata to the tests below.
contract PathHarness {
    function labelsRoot(uint256 label, uint256 index, bytes32[] calldata path) external pure returns (bytes32) {
        return MerkleLib.labelsRoot(label, index, path);
    }

    function commitmentOfTest(TestSet calldata testSet) external pure returns (bytes32) {
        return ProofLib.testCommitment(testSet);
    }

    function climb(
        bytes32 proofDigest,
        bytes32 hTop,
        Round calldata round,
        uint256 index,
        PredictionLeaf calldata leaf,
        SumNode[] calldata path
    ) external pure returns (uint256 total) {
        return RefutationLib.climb(proofDigest, hTop, round, index, leaf, path);
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

/// @dev The pool's libraries give what tests/vectors/protocol.json says; Python is held to the same file.
contract PoolVectorsTest is VectorReader {
    PathHarness private harness;

    function setUp() public override {
        super.setUp();
        harness = new PathHarness();
    }

    // ---------------------------------------------------------------- ballots

    function test_cases_and_disputes() public {
        section = "ballots";
        uint256[] memory taskIds = _uints("taskId");
        uint256[] memory rounds = _uints("round");
        address[] memory subjects = _addresses("subject");
        uint256[] memory attempts = _uints("attempt");
        bytes32[] memory caseIds = _words("caseId");
        bytes32[] memory expected = _words("disputeId");
        for (uint256 i; i < expected.length; ++i) {
            assertEq(caseIds[i], BallotLib.caseId(taskIds[i], rounds[i], subjects[i]), _case("caseId", i));
            assertEq(expected[i], BallotLib.disputeId(caseIds[i], attempts[i]), _case("disputeId", i));
        }
        assertEq(24, expected.length, "cases");
    }

    function test_ballots() public {
        section = "ballots";
        address[] memory pools = _addresses("pool");
        bytes32[] memory disputeIds = _words("disputeId");
        address[] memory voters = _addresses("voter");
        uint256[] memory verdicts = _uints("verdict");
        bytes32[] memory salts = _words("salt");
        bytes32[] memory expected = _words("ballot");
        for (uint256 i; i < expected.length; ++i) {
            bytes32 found = BallotLib.ballot(pools[i], disputeIds[i], voters[i], Verdict(verdicts[i]), salts[i]);
            assertEq(expected[i], found, _case("ballot", i));
        }
        assertEq(24, expected.length, "cases");
    }

    function test_stored_ballots() public {
        section = "ballots";
        uint256[] memory verdicts = _uints("verdict");
        uint256[] memory locks = _uints("lockWei");
        bytes32[] memory ballots = _words("ballot");
        bytes32[] memory sealed_ = _words("sealed");
        bytes32[] memory opened = _words("opened");
        for (uint256 i; i < opened.length; ++i) {
            assertEq(sealed_[i], BallotLib.seal(ballots[i], locks[i]), _case("sealed", i));
            assertEq(opened[i], BallotLib.pack(Verdict(verdicts[i]), locks[i]), _case("opened", i));
            (Verdict verdict, uint256 lockWei) = BallotLib.unpack(opened[i]);
            assertEq(verdicts[i], uint256(verdict), _case("verdict", i));
            assertEq(locks[i], lockWei, _case("lockWei", i));
            (verdict, lockWei) = BallotLib.unpack(sealed_[i]);
            assertEq(0, uint256(verdict), _case("no verdict", i));
            assertEq(0, lockWei, _case("no lock", i));
        }
        assertEq(24, opened.length, "cases");
    }

    // ---------------------------------------------------------------- rulings and money

    function test_rulings() public {
        section = "rulings";
        uint256[] memory stands = _uints("standsWei");
        uint256[] memory falls = _uints("fallsWei");
        uint256[] memory unavailable = _uints("unavailableWei");
        uint256[] memory snapshots = _uints("snapshotWei");
        uint256[] memory lockBps = _uints("lockBps");
        uint256[] memory attempts = _uints("attempt");
        uint256[] memory expected = _uints("ruling");
        for (uint256 i; i < expected.length; ++i) {
            Ruling ruling =
                TallyLib.rulingOf(stands[i], falls[i], unavailable[i], snapshots[i], lockBps[i], attempts[i]);
            assertEq(expected[i], uint256(ruling), _case("ruling", i));
        }
        assertEq(160, expected.length, "cases");
    }

    function test_winners_and_losers() public {
        section = "rulings";
        uint256[] memory rulings = _uints("ruling");
        uint256[] memory locks = _uints("lockWei");
        string[3] memory names = ["Stands", "Falls", "Unavailable"];
        for (uint256 verdict = 1; verdict <= 3; ++verdict) {
            bool[] memory won = _bools(string.concat("won", names[verdict - 1]));
            uint256[] memory lost = _uints(string.concat("lost", names[verdict - 1], "Wei"));
            for (uint256 i; i < rulings.length; ++i) {
                assertEq(won[i], TallyLib.hasWon(Ruling(rulings[i]), Verdict(verdict)), _case("won", i));
                uint256 lostWei = TallyLib.lossDown(Ruling(rulings[i]), Verdict(verdict), locks[i]);
                assertEq(lost[i], lostWei, _case("lost", i));
            }
        }
    }

    function test_spoils_of_a_fall() public {
        section = "rulings";
        uint256[] memory rulings = _uints("ruling");
        uint256[] memory struck = _uints("struckWei");
        uint256[] memory stands = _uints("standsWei");
        bool[] memory isClaim = _bools("isClaim");
        uint256[] memory filersPots = _uints("filersPotWei");
        uint256[] memory votersPots = _uints("votersPotWei");
        uint256 found;
        for (uint256 i; i < rulings.length; ++i) {
            if (Ruling(rulings[i]) != Ruling.Falls) continue;
            (uint256 filersWei, uint256 votersWei) = VotePayoutLib.falls(struck[i], stands[i], isClaim[i]);
            assertEq(filersPots[i], filersWei, _case("filersPotWei", i));
            assertEq(votersPots[i], votersWei, _case("votersPotWei", i));
            ++found;
        }
        assertTrue(found >= 15, "cases");
    }

    function test_spoils_of_a_stand() public {
        section = "rulings";
        uint256[] memory rulings = _uints("ruling");
        uint256[] memory bonds = _uints("bondWei");
        uint256[] memory filers = _uints("filers");
        uint256[] memory falls = _uints("fallsWei");
        uint256[] memory defendants = _uints("defendantWei");
        uint256[] memory votersPots = _uints("votersPotWei");
        uint256 found;
        for (uint256 i; i < rulings.length; ++i) {
            if (Ruling(rulings[i]) != Ruling.Stands) continue;
            (uint256 defendantWei, uint256 votersWei) = VotePayoutLib.stands(bonds[i] * filers[i], falls[i]);
            assertEq(defendants[i], defendantWei, _case("defendantWei", i));
            assertEq(votersPots[i], votersWei, _case("votersPotWei", i));
            ++found;
        }
        assertTrue(found >= 15, "cases");
    }

    function test_spoils_without_a_quorum() public {
        section = "rulings";
        uint256[] memory rulings = _uints("ruling");
        uint256[] memory bonds = _uints("bondWei");
        uint256[] memory filers = _uints("filers");
        bool[] memory isClaim = _bools("isClaim");
        uint256[] memory defendants = _uints("defendantWei");
        uint256[] memory returned = _uints("returnedWei");
        uint256 found;
        for (uint256 i; i < rulings.length; ++i) {
            if (Ruling(rulings[i]) != Ruling.NoQuorum) continue;
            (uint256 defendantWei, uint256 filerWei) = VotePayoutLib.noQuorum(bonds[i], isClaim[i]);
            assertEq(defendants[i], defendantWei * filers[i], _case("defendantWei", i));
            assertEq(returned[i], filerWei, _case("returnedWei", i));
            ++found;
        }
        assertTrue(found >= 15, "cases");
    }

    function test_shares_locks_and_bonds() public {
        section = "shares";
        uint256[] memory pots = _uints("potWei");
        uint256[] memory weight = _uints("weight");
        uint256[] memory weights = _uints("weights");
        uint256[] memory shares = _uints("shareWei");
        for (uint256 i; i < shares.length; ++i) {
            assertEq(shares[i], VotePayoutLib.shareDown(pots[i], weight[i], weights[i]), _case("shareWei", i));
        }
        uint256[] memory snapshots = _uints("snapshotWei");
        uint256[] memory active = _uints("activeWei");
        uint256[] memory lockBps = _uints("lockBps");
        uint256[] memory locks = _uints("lockWei");
        for (uint256 i; i < locks.length; ++i) {
            assertEq(locks[i], StakeLib.lockDown(snapshots[i], active[i], lockBps[i]), _case("lockWei", i));
        }
        uint256[] memory bounties = _uints("bountyWei");
        uint256[] memory bonds = _uints("bondWei");
        for (uint256 i; i < bonds.length; ++i) {
            assertEq(bonds[i], VotePayoutLib.bondUp(bounties[i]), _case("bondWei", i));
        }
        assertEq(48, shares.length, "cases");
    }

    function test_dividends() public {
        section = "dividends";
        uint256[] memory waiting = _uints("waitingWei");
        uint256[] memory active = _uints("activeWei");
        uint256[] memory own = _uints("ownWei");
        uint256[] memory gains = _uints("gain");
        uint256[] memory shared = _uints("sharedWei");
        uint256[] memory earned = _uints("earnedWei");
        for (uint256 i; i < gains.length; ++i) {
            // an index near its end wraps, and nobody notices
            uint160 before = i % 2 == 0 ? 0 : type(uint160).max - 7;
            (uint160 index, uint256 sharedWei) = StakeLib.share(waiting[i], active[i], before);
            unchecked {
                assertEq(gains[i], uint256(uint160(index - before)), _case("gain", i));
            }
            assertEq(shared[i], sharedWei, _case("sharedWei", i));
            assertEq(earned[i], StakeLib.earnedDown(own[i], index, before), _case("earnedWei", i));
        }
        assertEq(48, gains.length, "cases");
    }

    function test_participation() public {
        section = "dividends";
        uint256[] memory accrued = _uints("accruedWei");
        uint256[] memory ballots = _uints("ballots");
        uint256[] memory votes = _uints("votes");
        uint256[] memory paid = _uints("paidWei");
        uint256[] memory returned = _uints("returnedWei");
        for (uint256 i; i < paid.length; ++i) {
            (uint256 paidWei, uint256 returnedWei) = StakeLib.weighByVotes(accrued[i], ballots[i], votes[i]);
            assertEq(paid[i], paidWei, _case("paidWei", i));
            assertEq(returned[i], returnedWei, _case("returnedWei", i));
        }
        assertEq(48, paid.length, "cases");
    }

    // ---------------------------------------------------------------- trees

    function test_label_paths() public {
        section = "labels";
        uint256[] memory counts = _uints("counts");
        uint256[] memory index = _uints("index");
        uint256[] memory labels = _uints("labels");
        uint256[] memory pathCounts = _uints("pathCounts");
        bytes32[] memory paths = _words("paths");
        bytes32[] memory expected = _words("root");
        (uint256 nextLabel, uint256 nextNode) = (0, 0);
        for (uint256 i; i < expected.length; ++i) {
            bytes32[] memory path = _slice(paths, nextNode, pathCounts[i]);
            assertEq(
                expected[i], harness.labelsRoot(labels[nextLabel + index[i]], index[i], path), _case("labelsRoot", i)
            );
            assertEq(pathCounts[i], MerkleLib.depthOf(counts[i]), _case("depth", i));
            nextLabel += counts[i];
            nextNode += pathCounts[i];
        }
        assertEq(13, expected.length, "cases");
    }

    function test_prediction_paths() public {
        section = "predictions";
        bytes32[] memory digests = _words("proofDigest");
        uint256[] memory counts = _uints("counts");
        uint256[] memory totals = _uints("total");
        bytes32[] memory hTops = _words("hTop");
        uint256[] memory index = _uints("index");
        uint256[] memory predictions = _uints("predictions");
        uint256[] memory scores = _uints("scores");
        SumNode[][] memory paths = _paths();
        uint256 next;
        for (uint256 i; i < digests.length; ++i) {
            Round memory round;
            round.samples = uint40(counts[i]);
            round.maxSampleScore = 2 ** 24;
            PredictionLeaf memory leaf = PredictionLeaf(predictions[next + index[i]], scores[next + index[i]]);
            next += counts[i];
            // reverts unless the path leads to the top
            uint256 total = harness.climb(digests[i], hTops[i], round, index[i], leaf, paths[i]);
            assertEq(totals[i], total, _case("total", i));
        }
        assertEq(13, digests.length, "cases");
    }

    function test_refutations() public {
        section = "refutations";
        bytes32[] memory digests = _words("proofDigest");
        uint256[] memory index = _uints("index");
        uint256[] memory expected = _uints("fault");
        ClaimRef[] memory refs = _refs();
        PredictionLeaf[] memory leaves = _leaves();
        SumNode[][] memory paths = _paths();
        TestSet[] memory testSets = _testSets();
        LabelProof[] memory labels = _labelProofs(testSets);
        for (uint256 i; i < expected.length; ++i) {
            Round memory round = _roundOf(testSets[i]);
            Fault fault = harness.faultOf(digests[i], refs[i], round, index[i], leaves[i], paths[i], labels[i]);
            assertEq(expected[i], uint256(fault), _case("fault", i));
        }
        assertEq(144, expected.length, "cases");
    }

    // ---------------------------------------------------------------- the tables

    function _refs() private view returns (ClaimRef[] memory refs) {
        bytes32[] memory hTops = _words("hTop");
        uint256[] memory totals = _uints("total");
        refs = new ClaimRef[](hTops.length);
        for (uint256 i; i < refs.length; ++i) {
            refs[i].hTop = hTops[i];
            refs[i].claim.total = uint64(totals[i]);
        }
    }

    function _leaves() private view returns (PredictionLeaf[] memory leaves) {
        uint256[] memory predictions = _uints("prediction");
        uint256[] memory scores = _uints("score");
        leaves = new PredictionLeaf[](scores.length);
        for (uint256 i; i < leaves.length; ++i) {
            leaves[i] = PredictionLeaf(predictions[i], scores[i]);
        }
    }

    function _paths() private view returns (SumNode[][] memory paths) {
        uint256[] memory counts = _uints("pathCounts");
        bytes32[] memory hashes = _words("pathHashes");
        uint256[] memory sums = _uints("pathSums");
        uint256[] memory ownSums = _uints("pathOwnSums");
        paths = new SumNode[][](counts.length);
        uint256 next;
        for (uint256 i; i < paths.length; ++i) {
            paths[i] = new SumNode[](counts[i]);
            for (uint256 level; level < counts[i]; ++level) {
                paths[i][level] = SumNode(hashes[next], sums[next], ownSums[next]);
                ++next;
            }
        }
    }

    function _testSets() private view returns (TestSet[] memory sets) {
        bytes32[] memory sealed_ = _words("sealedLocator");
        bytes32[] memory plaintext = _words("plaintextHash");
        bytes32[] memory keyHash = _words("keyHash");
        bytes32[] memory labels = _words("labelsRoot");
        sets = new TestSet[](sealed_.length);
        for (uint256 i; i < sets.length; ++i) {
            sets[i].sealedLocator = sealed_[i];
            sets[i].plaintextHash = plaintext[i];
            sets[i].keyHash = keyHash[i];
            sets[i].labelsRoot = labels[i];
        }
        _testNumbers(sets);
    }

    function _testNumbers(TestSet[] memory sets) private view {
        uint256[] memory samples = _uints("samples");
        uint256[] memory maxima = _uints("maxSampleScore");
        uint256[] memory classes = _uints("classes");
        uint256[] memory metrics = _uints("metric");
        for (uint256 i; i < sets.length; ++i) {
            sets[i].samples = uint40(samples[i]);
            sets[i].maxSampleScore = uint32(maxima[i]);
            sets[i].classes = uint32(classes[i]);
            sets[i].metric = uint16(metrics[i]);
        }
    }

    function _labelProofs(TestSet[] memory testSets) private view returns (LabelProof[] memory proofs) {
        bool[] memory hasLabel = _bools("hasLabel");
        uint256[] memory labels = _uints("label");
        uint256[] memory counts = _uints("labelPathCounts");
        bytes32[] memory paths = _words("labelPaths");
        proofs = new LabelProof[](labels.length);
        uint256 next;
        for (uint256 i; i < proofs.length; ++i) {
            if (!hasLabel[i]) continue;
            proofs[i] = LabelProof(testSets[i], labels[i], _slice(paths, next, counts[i]));
            next += counts[i];
        }
    }

    function _roundOf(TestSet memory testSet) private view returns (Round memory round) {
        round.samples = testSet.samples;
        round.maxSampleScore = testSet.maxSampleScore;
        round.classes = testSet.classes;
        round.metric = testSet.metric;
        round.testCommitment = harness.commitmentOfTest(testSet);
    }
}
