"""Every error of the client, drawn by what the caller can do about it.

DlbcError
├── Refused              exit 1   the request can't be carried out; nothing was changed
│   ├── BadInput                  a file, value or manifest is malformed or hostile
│   ├── ContractRefused           the chain would revert; carries the decoded custom error
│   ├── TooMuchGas                the call takes more gas than its sender pays for
│   ├── LimitReached              memory, time or another limit of this machine; here it would end so again
│   ├── NotFound                  no such task, model, account, block
│   └── NotYet           exit 3   the task is not that far (`retryable`)
├── Usage                exit 2   the command line or configuration is wrong
│   └── WrongChain                the endpoint serves another chain than the configured one
├── TryLater             exit 3   the same call may succeed later (`retryable`)
│   ├── ChainUnreachable
│   ├── StorageUnreachable
│   └── Unavailable               nobody served these bytes within the deadline
└── VerificationFailed   exit 4   bytes, hashes, signatures or scores are not what was promised

Messages are one sentence: what was expected, what came, what to do. They never hold a key or a salt.
"""

from __future__ import annotations

from collections.abc import Mapping


class DlbcError(Exception):
    """Base of all errors that a user may see as one line."""

    exit_code = 1
    retryable = False


class Refused(DlbcError):
    """The request can't be carried out; nothing was changed."""


class BadInput(Refused):
    """A file, value or manifest is malformed, out of bounds or hostile."""


class LimitReached(Refused):
    """Memory, time or another limit of this machine ended it. Here the same call would end so again, so nothing follows
    from it: neither that a stranger's file is right, nor that it is wrong.
    """


class NotFound(Refused):
    """No such task, model, account or block."""


class ContractRefused(Refused):
    """A contract call would revert (or did)."""

    is_mined = False
    """It was sent, and paid for, before it failed."""

    def __init__(self, sentence: str, *, name: str = "", args: Mapping[str, object] | None = None) -> None:
        """`name` is the custom error's name, e.g. "Market_WrongPhase"; `args` its decoded arguments."""
        super().__init__(sentence)
        self.name = name
        self.arguments: Mapping[str, object] = args or {}


class TooMuchGas(Refused):
    """The call takes more gas than its sender wants to pay for; nothing was sent."""


class NotYet(Refused):
    """The task is not that far: refused now, possible later; nothing was changed."""

    exit_code = 3
    retryable = True


class Usage(DlbcError):
    """The command line or the configuration is wrong."""

    exit_code = 2


class WrongChain(Usage):
    """The endpoint serves another chain than the configured one."""


class TryLater(DlbcError):
    """The same call may succeed later."""

    exit_code = 3
    retryable = True


class ChainUnreachable(TryLater):
    """The RPC endpoint does not answer, or a transaction was not mined in time."""


class StorageUnreachable(TryLater):
    """The IPFS API does not answer."""


class Unavailable(TryLater):
    """Nobody served these bytes within the deadline."""


class VerificationFailed(DlbcError):
    """Bytes, hashes, signatures or scores are not what was promised."""

    exit_code = 4


class Garbled(VerificationFailed):
    """A node served other bytes than those that were asked for: the same call may succeed later, or with another."""
