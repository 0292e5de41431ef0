"""What one account keeps secret about its ballots: from the journal and, after a lost disk, from the wallet (P-54)."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Iterator
from dataclasses import dataclass

from dlbc.core.errors import Refused
from dlbc.core.proofs import ballot_hash, ballot_secret_typed_data, dispute_id, find_verdict
from dlbc.core.records import hex_bytes, to_record
from dlbc.core.secrets import ballot_salt
from dlbc.core.types import Hash32, Verdict, Wei
from dlbc.ports import Chain, Journal, Keys, Pool
from dlbc.roles.cases import CaseView, OwnBallot, read_ballot

BALLOT = "ballot"
RANDOM_SALT = "random_salt"


@dataclass(frozen=True, slots=True)
class Ballots:
    """Seals ballots and finds them again."""

    chain: Chain
    pool: Pool
    keys: Keys
    journal: Journal

    def cast(self, view: CaseView, attempt: int) -> OwnBallot | None:
        """This account's ballot in one vote; None if it was never cast, or is collected."""
        for event in self.pool.ballots_committed(view.case_id):
            if (event.attempt, event.voter) == (attempt, self.keys.address):
                return read_ballot(self.pool, event)
        return None

    def never_opened(self, view: CaseView) -> list[OwnBallot]:
        """Ballots of this account that are still sealed."""
        found = (self.cast(view, attempt) for attempt in range(view.case.attempt + 1))
        return [own for own in found if own is not None and own.verdict is Verdict.NONE]

    def seal(self, view: CaseView, verdict: Verdict, lock_wei: Wei) -> Hash32:
        """A new ballot; what opens it is on disk before it leaves."""
        vote = dispute_id(view.case_id, view.case.attempt)
        salt = self._new_salt(vote)
        self._note(vote, verdict, salt, lock_wei)
        return ballot_hash(self.pool.address, vote, self.keys.address, verdict, salt)

    def open(self, own: OwnBallot) -> tuple[Verdict, bytes]:
        """What a sealed ballot says, and its salt. Raises Refused when neither journal nor wallet opens it."""
        vote = dispute_id(own.case_id, own.attempt)
        for salt in self._known_salts(vote):
            found = find_verdict(own.ballot, self.pool.address, vote, self.keys.address, salt)
            if found is not None:
                self._note(vote, found, salt, own.lock_wei)
                return found, salt
        raise Refused(
            f"the ballot of {self.keys.address} does not open with this wallet's salt, nor with this journal; use the "
            "home folder of the machine that cast it, before the time to open ballots ends"
        )

    def can_open(self, own: OwnBallot) -> bool:
        """Whether the salt of a sealed ballot is known."""
        try:
            self.open(own)
        except Refused:
            return False
        return True

    def _note(self, vote: Hash32, verdict: Verdict, salt: bytes, lock_wei: Wei) -> None:
        record = {"verdict": verdict.name, "salt": to_record(salt), "lock_wei": lock_wei}
        if self.journal.get(BALLOT, vote.hex()) != record:
            self.journal.put(BALLOT, vote.hex(), record)

    def _new_salt(self, vote: Hash32) -> bytes:
        """From the wallet; 32 random bytes, which then only the journal has, if it signs differently each time."""
        salts = self._salts(vote)
        if len(salts) == 1:
            return salts[0]
        material = randomness.token_bytes(32)
        self.journal.put(RANDOM_SALT, vote.hex(), {"material": to_record(material)})
        return ballot_salt(material)

    def _known_salts(self, vote: Hash32) -> Iterator[bytes]:
        """The journal's first: the wallet is asked to sign only if it has none, or one that does not fit."""
        kept = self.journal.get(BALLOT, vote.hex())
        if kept is not None:
            yield hex_bytes(kept["salt"], "salt", 32)
        yield from self._salts(vote)

    def _salts(self, vote: Hash32) -> list[bytes]:
        """The salt of a vote as far as it can be had again; none from a wallet that signs differently each time."""
        kept = self.journal.get(RANDOM_SALT, vote.hex())
        if kept is not None:
            return [ballot_salt(hex_bytes(kept["material"], "random salt", 32))]
        message = ballot_secret_typed_data(vote, self.chain.chain_id, self.chain.market)
        first, second = self.keys.sign_typed(message), self.keys.sign_typed(message)
        return [ballot_salt(first)] if first == second else []
