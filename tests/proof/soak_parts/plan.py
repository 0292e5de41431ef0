"""What is posted when: one seed, one plan. Nothing here looks at a clock or a chain."""

from __future__ import annotations

import random
from dataclasses import dataclass

POSTING_SHARE = 0.66
"""Of the whole time; what is posted last still has all its windows before the end."""
BURST = 3
"""Tasks a requester posts one after another; then its watch starts anew, with them."""
MOST_AT_RISK_ETHER = 6
"""What a miner has in deposits at once, at most: a task that asks for more is beyond everybody's reach."""
KINDS = {"usual": 40, "unreachable": 7, "cancelled": 6, "beyond": 4, "too_long": 3}
"""Of sixty tasks. usual: somebody wins. unreachable: no model scores that high. cancelled: taken back at once. beyond,
too_long: nobody can take it."""


@dataclass(frozen=True)
class Windows:
    """Seconds of real time, each: the network's clock is the machine's."""

    train: int
    release: int
    reveal: int
    open: int
    challenge: int

    @property
    def total(self) -> int:
        """From the posting to the settlement, if the test set is released at once and the model opened at once."""
        return self.train + self.reveal + self.challenge


@dataclass(frozen=True)
class PlannedTask:
    """One task to be."""

    name: str
    kind: str
    requester: int
    post_at: float  # seconds from the start
    seed: int
    epochs: int
    min_score: str
    bounty_milli: int  # thousandths of an ether
    deposit_percent: int
    royalty_percent: int
    train: int

    def text(self, windows: Windows) -> str:
        """TASK.toml."""
        bounty = self.bounty_milli * 10**15
        return f"""\
name = "{self.name}"

[data]
source = "digits"
seed = {self.seed}

[model]
family = "mlp"
hidden = [256, 128]

[training]
epochs = {self.epochs}
batch = 128
learning_rate = 0.001

[money]
bounty = {bounty}
deposit = {bounty * self.deposit_percent // 100}
bond = {bounty // 10}
royalty = 0.{self.royalty_percent:02d}

[windows]
train = "{self.train}s"
release = "{windows.release}s"
reveal = "{windows.reveal}s"
open = "{windows.open}s"
challenge = "{windows.challenge}s"

[scoring]
min_score = {self.min_score}
tolerance = 0.002
"""


def windows_for(seconds: float) -> Windows:
    """As long as fits a run of so many seconds: a killed miner is to be back long before its window ends."""
    scale = min(1.0, seconds / 1200)
    long, short = round(150 * scale), round(60 * scale)
    return Windows(
        train=max(60, long),
        release=max(45, short),
        reveal=max(40, short),
        open=max(45, short),
        challenge=max(20, round(45 * scale)),
    )


def plan(tasks: int, requesters: int, seconds: float, seed: int) -> list[PlannedTask]:
    """By the time of their posting. Every kind is there as soon as there is room for it."""
    drawn = random.Random(seed)
    windows = windows_for(seconds)
    kinds = kinds_of(tasks)
    drawn.shuffle(kinds)
    last = max(1.0, min(POSTING_SHARE * seconds, seconds - windows.total - 45))
    bursts = -(-tasks // BURST)
    found = []
    for index, kind in enumerate(kinds):
        burst = index // BURST
        bounty = drawn.randint(200, 4_000) if kind != "beyond" else (MOST_AT_RISK_ETHER + 2) * 1_000
        found.append(
            PlannedTask(
                name=f"soak-{seed}-{index + 1}",
                kind=kind,
                requester=burst % requesters,
                post_at=round(last * burst / max(1, bursts - 1), 1) if bursts > 1 else 0.0,
                seed=drawn.randrange(2**31),
                epochs=100_000 if kind == "too_long" else drawn.randint(1, 3),
                min_score="1" if kind == "unreachable" else f"0.{drawn.randint(10, 25)}",
                bounty_milli=bounty,
                deposit_percent=100 if kind == "beyond" else drawn.randint(10, 40),
                royalty_percent=drawn.randint(0, 20),
                train=drawn.randint(round(windows.train * 0.8), round(windows.train * 1.2)),
            )
        )
    return found


def kinds_of(tasks: int) -> list[str]:
    """In the proportions of KINDS; of few tasks, the usual ones are left out last."""
    total = sum(KINDS.values())
    rare = [kind for kind, of_sixty in KINDS.items() if kind != "usual" for _ in range(round(of_sixty * tasks / total))]
    for kind in ("cancelled", "unreachable"):
        if tasks >= 4 and kind not in rare:
            rare.append(kind)
    return ["usual"] * (tasks - len(rare)) + rare
