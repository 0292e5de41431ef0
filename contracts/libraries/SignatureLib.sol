// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The part of ERC-1271 that is used here.
interface IERC1271 {
    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4);
}

/// @title SignatureLib
/// @notice Whether an account signed a digest: by its key, or, if it has code, by its own word (P-41).
library SignatureLib {
    /// @dev Half the order of secp256k1. A higher s has a second, equally valid form, so it is refused.
    uint256 private constant MAX_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// @notice The account's key is tried first, so that an account that has both a key and code (EIP-7702) can always
    /// sign with its key. Warning: the contract of an account may change its mind, so ask once and store the answer.
    function isValid(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        (address recovered,) = recover(digest, signature);
        if (recovered == signer && signer != address(0)) return true;
        return signer.code.length != 0 && _isAccepted(signer, digest, signature);
    }

    /// @dev Signer of a 65-byte r, s, v signature.
    /// @return signer zero if the signature recovers to nobody
    /// @return isWellFormed 65 bytes, low s, v 27 or 28
    function recover(bytes32 digest, bytes calldata signature)
        internal
        pure
        returns (address signer, bool isWellFormed)
    {
        if (signature.length != 65) return (address(0), false);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > MAX_S || (v != 27 && v != 28)) return (address(0), false);
        return (ecrecover(digest, v, bytes32(signature[0:32]), s), true);
    }

    /// @dev One staticcall (ERC-1271). Accepted iff it succeeds and the first word returned is the selector itself.
    /// In plain Solidity a typed call reverts here if the answer is short, and a low-level one copies all that the
    /// stranger's contract returns, at our cost; this one copies a word.
    function _isAccepted(address wallet, bytes32 digest, bytes calldata signature) private view returns (bool) {
        bytes memory data = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bool hasSucceeded;
        uint256 size;
        bytes32 word;
        assembly ("memory-safe") {
            // the first 64 bytes of memory are scratch space
            hasSucceeded := staticcall(gas(), wallet, add(data, 0x20), mload(data), 0x00, 0x20)
            size := returndatasize()
            word := mload(0x00)
        }
        return hasSucceeded && size >= 32 && word == bytes32(IERC1271.isValidSignature.selector);
    }
}
