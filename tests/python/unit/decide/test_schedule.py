"""Which tasks a miner starts: never more than its money, its devices and its deadlines allow."""

from __future__ import annotations

from itertools import pairwise

import pytest
from dlbc.core.schedule import (
    MARGIN_PARTS,
    START_SECONDS,
    Device,
    Means,
    Offer,
    Plan,
    average,
    learned_speed,
    plan,
    seconds_needed,
    speed_of,
    with_margin,
)
from dlbc.core.types import RankedTask, TaskId, Timestamp, Wei
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

ETHER = 10**18
SPEED = 1_000


def offer(
    task_id: int, *, seconds: int = 35, bounty: int = ETHER, deposit: int = ETHER // 10, end: int = 10_000, **more: int
) -> Offer:
    """A task that takes so many seconds, with START_SECONDS in it, at SPEED."""
    difficulty = 10
    row = RankedTask(TaskId(task_id), bounty // difficulty, Wei(bounty), difficulty, Timestamp(0), Timestamp(end), 0)
    return Offer(row, Wei(deposit), "cnn", (seconds - START_SECONDS) * SPEED, 0, more.get("memory", 0))


def means(*free_at: int, balance: int = 100 * ETHER, **more: object) -> Means:
    """Devices that are free at these times."""
    devices = tuple(Device(f"cuda:{index}", Timestamp(time)) for index, time in enumerate(free_at or (0,)))
    usual = {"devices": devices, "speeds": {("cnn", device.name): SPEED for device in devices}}
    return Means(now=Timestamp(0), balance_wei=balance, **(usual | more))  # type: ignore[arg-type]


def started(found: Plan) -> list[tuple[int, str]]:
    """What starts where."""
    return [(choice.task_id, choice.device) for choice in found.start]


def test_plan__one_device__starts_what_pays_best_a_second() -> None:
    """A cheap task that is done at once beats a dear one that takes all day; the other one waits."""
    found = plan([offer(1, seconds=1_000), offer(2, seconds=40, bounty=ETHER // 10)], means())
    assert started(found) == [(2, "cuda:0")]
    assert found.start[0].why == "pays 0.1 ether for about 40s here; 0.0025 ether a second"
    assert [(choice.task_id, choice.starts_at) for choice in found.queue] == [(1, 40)]


def test_plan__same_cost__follows_the_rank_then_the_older_task() -> None:
    """Where this machine needs the same for all, the market's order stands."""
    found = plan([offer(3, bounty=ETHER // 2), offer(2), offer(1)], means())
    assert [choice.task_id for choice in (*found.start, *found.queue)] == [1, 2, 3]


def test_plan__two_devices__one_training_each() -> None:
    """Both start at once."""
    found = plan([offer(1), offer(2), offer(3)], means(0, 0))
    assert started(found) == [(1, "cuda:0"), (2, "cuda:1")]
    assert [(choice.task_id, choice.starts_at) for choice in found.queue] == [(3, 35)]


def test_plan__slow_and_fast_device__each_task_where_it_is_done_first() -> None:
    """The slow one gets a task when waiting for the fast one would take longer."""
    devices = (Device("cuda", Timestamp(0)), Device("cpu", Timestamp(0)))
    speeds = {("cnn", "cuda"): SPEED, ("cnn", "cpu"): SPEED // 3}
    found = plan([offer(number) for number in range(1, 5)], means(devices=devices, speeds=speeds))
    assert started(found) == [(1, "cuda"), (3, "cpu")]
    assert [(choice.task_id, choice.device) for choice in found.queue] == [(2, "cuda"), (4, "cuda")]


def test_plan__urgent_task__goes_first_if_the_better_one_can_wait() -> None:
    """Both bounties are earned instead of one."""
    found = plan([offer(1, seconds=100), offer(2, seconds=100, bounty=ETHER // 2, end=130)], means())
    assert started(found) == [(2, "cuda:0")]
    assert [choice.task_id for choice in found.queue] == [1]


def test_plan__urgent_task__is_left_if_the_better_one_can_not_wait() -> None:
    """The better paid one keeps its place."""
    found = plan([offer(1, seconds=100, end=130), offer(2, seconds=100, bounty=ETHER // 2, end=130)], means())
    assert started(found) == [(1, "cuda:0")]
    assert found.passed[0].why == "every device is busy with better paid tasks until it is too late for this one"


def test_plan__busy_device__nothing_starts_and_the_queue_knows_when() -> None:
    """What trains is never interrupted."""
    found = plan([offer(1)], means(50))
    assert found.start == ()
    assert [(choice.task_id, choice.starts_at) for choice in found.queue] == [(1, 50)]


@pytest.mark.parametrize(
    ("given", "with_means", "sentence"),
    [
        (
            offer(1),
            {"balance": ETHER // 20, "gas_wei": ETHER // 100},
            "deposit and gas need 0.11 ether, the account holds 0.05 ether",
        ),
        (
            offer(1),
            {"balance": ETHER, "promised_wei": ETHER},
            "deposit and gas need 0.1 ether, the account holds 1 ether, of which 1 ether are promised to better tasks",
        ),
        (
            offer(1),
            {"at_risk_wei": ETHER, "most_at_risk_wei": ETHER},
            "its deposit of 0.1 ether would put 1.1 ether at risk, the limit is 1 ether",
        ),
        (
            offer(1, memory=2_000),
            {"memory_bytes": 1_000},
            "training needs about 2000 bytes of memory, this machine has 1000",
        ),
        (
            offer(1, seconds=100, end=124),
            {},
            "training needs about 100 s here and 25 s of margin, more than is left",
        ),
        (offer(1), {"devices": ()}, "there is no device to train on"),
    ],
)
def test_plan__can_t_be_done__says_what_is_missing(given: Offer, with_means: dict[str, object], sentence: str) -> None:
    """One sentence with the numbers."""
    found = plan([given], means(**with_means))  # type: ignore[arg-type]
    assert [(passed.task_id, passed.why) for passed in found.passed] == [(1, sentence)]
    assert (found.start, found.queue) == ((), ())


def test_plan__memory_for_one__the_other_device_waits() -> None:
    """Two trainings that together need more than the machine has do not run together."""
    found = plan([offer(1, memory=600), offer(2, memory=600)], means(0, 0, memory_bytes=1_000))
    assert started(found) == [(1, "cuda:0")]
    assert [choice.task_id for choice in found.queue] == [2]


def test_speed__family_never_trained__the_slowest_of_the_device_else_assumed() -> None:
    """Better too slow than too late."""
    speeds = {("cnn", "cpu"): 70, ("mlp", "cpu"): 50, ("mlp", "cuda"): 10**13}
    assert speed_of(speeds, "resnet", "cpu") == 50
    assert (speed_of({}, "mlp", "cpu"), speed_of({}, "mlp", "cuda:1")) == (2 * 10**10, 10**12)


def test_learned_speed__short_training__never_slower_than_assumed() -> None:
    """Two seconds are mostly start-up; ten minutes are the truth."""
    assert learned_speed("cpu", 10**9, 2) == 2 * 10**10
    assert learned_speed("cpu", 10**10, 600) == 10**10 // 600
    assert learned_speed("cpu", 10**12, 2) == 5 * 10**11


def test_average__of_runs__the_long_and_the_late_count_more() -> None:
    """Half of the past, and all of the present."""
    assert average((1_000, 10), 300, 10) == (800, 15)
    assert average((0, 0), 0, 0) == (0, 1)


offers_ = st.lists(
    st.builds(
        lambda seconds, bounty, deposit, end, memory: (seconds, bounty, deposit, end, memory),
        st.integers(6, 500),
        st.integers(1, 10**6),
        st.integers(0, 10**4),
        st.integers(0, 2_000),
        st.integers(0, 1_000),
    ),
    max_size=14,
).map(
    lambda rows: [
        offer(number, seconds=seconds, bounty=bounty, deposit=deposit, end=end, memory=memory)
        for number, (seconds, bounty, deposit, end, memory) in enumerate(rows, 1)
    ]
)
means_ = st.builds(
    lambda free_at, balance, promised, at_risk, limit, memory, now: means(
        *free_at,
        balance=balance,
        promised_wei=promised,
        at_risk_wei=at_risk,
        most_at_risk_wei=limit,
        memory_bytes=memory,
        gas_wei=7,
    ),
    st.lists(st.integers(0, 300), min_size=1, max_size=4),
    st.integers(0, 10**5),
    st.integers(0, 10**4),
    st.integers(0, 10**4),
    st.none() | st.integers(0, 10**5),
    st.none() | st.integers(0, 2_000),
    st.just(0),
)


@settings(deadline=None, max_examples=300)
@given(offers_, means_)
def test_plan__any_market__money_deadlines_memory_and_devices_hold(offers: list[Offer], has: Means) -> None:
    """Whatever strangers post: no deposit without money, no start that is too late, one training a device."""
    found = plan(offers, has)
    by_id = {given.ranked.task_id: given for given in offers}
    taken = [*found.start, *found.queue]
    assert sorted([*(choice.task_id for choice in taken), *(passed.task_id for passed in found.passed)]) == sorted(
        by_id
    )
    deposits = sum(choice.deposit_wei for choice in taken)
    assert not taken or has.promised_wei + deposits + has.gas_wei * len(taken) <= has.balance_wei
    if taken and has.most_at_risk_wei is not None:
        assert has.at_risk_wei + deposits <= has.most_at_risk_wei
    free_at = {device.name: device.free_at for device in has.devices}
    for choice in taken:
        given_offer = by_id[choice.task_id]
        seconds = seconds_needed(given_offer, choice.device, has)
        assert choice.seconds == seconds
        assert choice.starts_at + seconds + seconds / MARGIN_PARTS <= given_offer.ranked.train_end
        assert choice.starts_at >= max(has.now, free_at[choice.device])
    devices = [choice.device for choice in found.start]
    assert len(devices) == len(set(devices))
    assert all(free_at[device] <= has.now for device in devices)
    if has.memory_bytes is not None:
        assert sum(by_id[choice.task_id].memory_bytes for choice in found.start) <= has.memory_bytes
    for device in free_at:
        mine = sorted((choice.starts_at, choice.seconds) for choice in taken if choice.device == device)
        assert all(one[0] + one[1] <= other[0] for one, other in pairwise(mine))


@settings(deadline=None, max_examples=100)
@given(offers_, means_, st.randoms(use_true_random=False))
def test_plan__same_facts_in_any_order__same_plan(offers: list[Offer], has: Means, chance: object) -> None:
    """A node that lists tasks in another order changes nothing."""
    shuffled = list(offers)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan(shuffled, has) == plan(offers, has)


@given(st.integers(1, 10**9))
def test_with_margin__any_length__a_quarter_is_left(seconds: int) -> None:
    """Rounded up."""
    assert with_margin(seconds) * 4 >= seconds * 5 > with_margin(seconds) * 4 - 4
