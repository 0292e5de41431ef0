"""Every wei of a bounty or bond is in exactly one share."""

from __future__ import annotations

import pytest
from dlbc.core.errors import BadInput
from dlbc.core.payouts import abortion, refutation, settlement, void_fee
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

WEI = st.integers(0, 2**96 - 1)


@given(bounty=WEI, fee_bps=st.integers(0, 500), royalty_bps=st.integers(0, 2000), has_parent=st.booleans())
def test_settlement__any_bounty__shares_sum_to_it(
    bounty: int, fee_bps: int, royalty_bps: int, has_parent: bool
) -> None:
    """P-60, P-62: fee and royalty round down, the winner gets the rest, nothing is lost."""
    paid, fee, royalty = settlement(bounty, fee_bps, royalty_bps, has_parent)

    assert bounty == paid + fee + royalty
    assert min(paid, fee, royalty) >= 0
    assert 0 <= bounty * fee_bps - fee * 10_000 < 10_000
    assert has_parent or royalty == 0


def test_settlement__one_ether__default_shares() -> None:
    """2 % fee and 5 % royalty of one ether."""
    ether = 10**18

    assert (93 * ether // 100, 2 * ether // 100, 5 * ether // 100) == settlement(ether, 200, 500, True)
    assert (98 * ether // 100, 2 * ether // 100, 0) == settlement(ether, 200, 500, False)


@pytest.mark.parametrize(("bounty", "fee", "royalty"), [(-1, 0, 0), (1, -1, 0), (1, 0, -1), (1, 8000, 2001)])
def test_settlement__more_than_everything__refused(bounty: int, fee: int, royalty: int) -> None:
    """Shares never exceed the bounty."""
    with pytest.raises(BadInput, match="expected"):
        settlement(bounty, fee, royalty, True)


@given(bond=WEI, committers=st.integers(1, 2**32 - 1))
def test_abortion__any_bond__shares_sum_to_it(bond: int, committers: int) -> None:
    """P-21: half the bond is shared equally, the rest with the remainder goes to the pool."""
    share, pool = abortion(bond, committers)

    assert bond == share * committers + pool
    assert share == bond // 2 // committers
    assert pool >= bond // 2


def test_abortion__every_committer_was_struck__the_pool_gets_all() -> None:
    """Who was struck has no share in the bond."""
    assert abortion(101, 0) == (0, 101)


@pytest.mark.parametrize(("bond", "committers"), [(-1, 1), (1, -1)])
def test_abortion__negative__refused(bond: int, committers: int) -> None:
    """More strikes than commits is a fault of the caller."""
    with pytest.raises(BadInput, match="no negative number"):
        abortion(bond, committers)


@given(deposit=WEI)
def test_refutation__any_deposit__a_third_to_the_refuter(deposit: int) -> None:
    """M-6: the refuter's third rounds down, the pool gets the rest."""
    refuter, pool = refutation(deposit)

    assert deposit == refuter + pool
    assert 0 <= deposit - 3 * refuter < 3


def test_void_fee__a_vote_struck_a_leader__one_round_s_fee() -> None:
    """P-20: a void costs the requester the fee only if auditors had to strike a leader."""
    assert void_fee(10**18, 200, True) == 2 * 10**16
    assert void_fee(10**18, 200, False) == 0
