// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "../../contracts/interfaces/ILedger.sol";

/// @title MinerWallet
/// @dev A contract that mines: its owner signs for it (ERC-1271), and it asks for its credit again while it is paid.
contract MinerWallet {
    address private immutable OWNER;
    bool public isLocked;
    uint256 public paidTwice;

    constructor(address owner) {
        OWNER = owner;
    }

    receive() external payable {
        try ILedger(msg.sender).withdraw(address(this)) {
            ++paidTwice;
        } catch {}
    }

    /// @dev A locked wallet signs nothing.
    function setLocked(bool locked) external {
        isLocked = locked;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        address signer = ecrecover(digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64]));
        return signer == OWNER && !isLocked ? this.isValidSignature.selector : bytes4(0);
    }
}

/// @dev Takes no ether, so nobody may depend on paying it.
contract Miser {}
