"""Who has what: double entry in whole wei. Nothing is ever made or lost, and no escrow can be overdrawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

Account = Hashable
Escrow = tuple[str, int]


class Overdrawn(AssertionError):
    """An escrow was asked for more than is in it: a fault of the simulation."""


class Books:
    """Wallets start at zero and may be below: a balance is a profit. Escrows hold what is locked."""

    def __init__(self, gas: dict[str, int], gas_price_wei: int) -> None:
        self.wallets: defaultdict[Account, int] = defaultdict(int)
        self.escrows: defaultdict[Escrow, int] = defaultdict(int)
        self.flows: defaultdict[tuple[Account, str], int] = defaultdict(int)
        self.gas_used: defaultdict[Account, int] = defaultdict(int)
        self.prices = gas
        self._gas_price_wei = gas_price_wei

    def lock(self, payer: Account, escrow: Escrow, wei: int, why: str) -> None:
        """Money that comes in with a call."""
        self.wallets[payer] -= wei
        self.flows[payer, why] -= wei
        self.escrows[escrow] += wei

    def credit(self, escrow: Escrow, payee: Account, wei: int, why: str) -> None:
        """Money that somebody may withdraw; we count it as withdrawn."""
        self._take(escrow, wei)
        self.wallets[payee] += wei
        self.flows[payee, why] += wei

    def shift(self, payer: Escrow, payee: Escrow, wei: int) -> None:
        """From one contract to the other."""
        self._take(payer, wei)
        self.escrows[payee] += wei

    def spend(self, payer: Account, wei: int, why: str) -> None:
        """Work that is bought outside: compute, audits, bribes, the price of capital."""
        self.wallets[payer] -= wei
        self.flows[payer, why] -= wei
        self.wallets[f"outside: {why}"] += wei

    def note(self, account: Account, why: str, wei: int) -> None:
        """What an account gained or lost inside an escrow: told, not moved."""
        self.flows[account, why] += wei

    def credit_back(self, payer: Account, why: str) -> None:
        """Work outside that was not bought after all."""
        self.spend(payer, self.flows[payer, why], why)

    def gas(self, payer: Account, *calls: str) -> None:
        for call in calls:
            self.gas_used[payer] += self.prices[call]
            self.spend(payer, self.prices[call] * self._gas_price_wei, "gas")

    def profit(self, *accounts: Account) -> int:
        return sum(self.wallets[account] for account in accounts)

    def earned(self, accounts: Iterable[Account], why: str) -> int:
        return sum(self.flows[account, why] for account in accounts)

    def check(self) -> None:
        """Every wei is in one wallet or escrow. Raises AssertionError."""
        total = sum(self.wallets.values()) + sum(self.escrows.values())
        assert total == 0, f"books: {total} wei came from nowhere"

    def _take(self, escrow: Escrow, wei: int) -> None:
        left = self.escrows[escrow] - wei
        if wei < 0 or left < 0:
            raise Overdrawn(f"{escrow}: {wei} wei asked for, {self.escrows[escrow]} there")
        self.escrows[escrow] = left
