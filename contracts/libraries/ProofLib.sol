// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlockHeader, Claim, Terms, TestSet, TrainingProof} from "../types/Task.sol";

/// @title ProofLib
/// @notice What people sign and commit to: EIP-712 digests, commitments and the hashes of terms, test
/// sets and ledger blocks (P-11, P-13, P-31, P-41, P-70). Every hash is keccak256 of abi.encode of static words.
library ProofLib {
    bytes32 internal constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 internal constant TRAINING_PROOF_TYPEHASH = keccak256(
        "TrainingProof(uint256 taskId,uint16 round,address miner,bytes32 modelHash,bytes32 sealedModel,bytes32 sealKeyHash,bytes32 watermarkRoot,bytes32 parentModel)"
    );
    bytes32 internal constant SCORE_CLAIM_TYPEHASH =
        keccak256("ScoreClaim(bytes32 proof,uint64 total,bytes32 predictionsRoot,bytes32 predictions)");
    bytes32 private constant NAME_HASH = keccak256("DLBC");
    bytes32 private constant VERSION_HASH = keccak256("1");

    /// @dev H(terms, keccak256 of the concatenated test commitments) (P-11).
    function termsHash(Terms calldata terms, bytes32[] calldata testCommitments) internal pure returns (bytes32) {
        return keccak256(abi.encode(terms, keccak256(abi.encodePacked(testCommitments))));
    }

    /// @dev H(all members) (P-13).
    function testCommitment(TestSet calldata testSet) internal pure returns (bytes32) {
        return keccak256(abi.encode(testSet));
    }

    function domainSeparator(uint256 chainId, address market) internal pure returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, chainId, market));
    }

    /// @dev EIP-712 digest of a TrainingProof. All its members are static, so abi.encode is EIP-712's encodeData.
    function proofDigest(bytes32 separator, TrainingProof calldata proof) internal pure returns (bytes32) {
        return typedDataHash(separator, keccak256(abi.encode(TRAINING_PROOF_TYPEHASH, proof)));
    }

    /// @dev EIP-712 struct hash of a ScoreClaim.
    function claimStructHash(bytes32 digestOfProof, Claim calldata claim) internal pure returns (bytes32) {
        return keccak256(abi.encode(SCORE_CLAIM_TYPEHASH, digestOfProof, claim));
    }

    /// @dev EIP-712 digest of a ScoreClaim: what the miner signs (P-41).
    function claimDigest(bytes32 separator, bytes32 digestOfProof, Claim calldata claim)
        internal
        pure
        returns (bytes32)
    {
        return typedDataHash(separator, claimStructHash(digestOfProof, claim));
    }

    function typedDataHash(bytes32 separator, bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked("\x19\x01", separator, structHash));
    }

    /// @dev H(proofDigest, salt) (P-31).
    function commitment(bytes32 digestOfProof, bytes32 salt) internal pure returns (bytes32) {
        return keccak256(abi.encode(digestOfProof, salt));
    }

    /// @dev H(proofDigest, total, predictionsRoot, predictions): what is stored from the reveal on (P-41).
    function claimHash(bytes32 digestOfProof, Claim calldata claim) internal pure returns (bytes32) {
        return keccak256(abi.encode(digestOfProof, claim));
    }

    /// @dev H(all members in order) (P-70).
    function blockHash(BlockHeader memory header) internal pure returns (bytes32) {
        return keccak256(abi.encode(header));
    }
}
