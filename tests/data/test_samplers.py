"""Batches are a pure function of seed and epoch, under resume, ranks and budgets."""

import numpy as np
import pytest

from sus2bench.data.samplers import FrameBatchSampler

RNG = np.random.default_rng(7)
ATOMS = RNG.integers(1, 40, 103)
EDGES = ATOMS * RNG.integers(5, 60, 103)

MODES = [{"batch_size": 8}, {"max_atoms": 100}, {"max_edges": 4000}, {"batch_size": 1},
         {"max_atoms": 120, "max_edges": 3000}, {"batch_size": 1000}]  # fmt: skip


def make(shuffle=True, atoms=ATOMS, edges=EDGES, **settings):
    return FrameBatchSampler(atoms, edges, shuffle=shuffle, **settings)


def flat(batches):
    return [frame for batch in batches for frame in batch]


@pytest.mark.parametrize("mode", MODES)
def test_each_frame_once_and_the_same_number_of_batches_in_every_epoch(mode):
    sampler = make(seed=3, **mode)
    seen = set()
    for epoch in range(30):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert sorted(flat(batches)) == list(range(103))
        assert len(batches) == len(sampler)
        assert all(batches)
        seen.add(str(batches))
    if len(sampler) > 1:
        assert len(seen) == 30


def test_order_depends_on_seed_and_epoch_alone():
    one, other = make(batch_size=8, seed=3), make(batch_size=8, seed=3)
    for epoch in (0, 1, 2, 3):
        one.set_epoch(epoch)
        list(one)
    other.set_epoch(3)
    assert list(one) == list(other)
    assert list(make(batch_size=8, seed=4)) != list(make(batch_size=8, seed=3))


def test_batches_by_number_differ_by_at_most_one_frame():
    sizes = {len(batch) for batch in make(batch_size=8)}
    assert sizes == {7, 8}


@pytest.mark.parametrize("mode", [{"max_atoms": 100}, {"max_atoms": 120, "max_edges": 3000}])
@pytest.mark.parametrize("shuffle", [True, False])
def test_budgets_are_kept_but_by_frames_that_exceed_them_alone(mode, shuffle, caplog):
    sampler = make(shuffle=shuffle, **mode)
    max_edges = mode.get("max_edges", np.inf)
    large = 0
    for batch in sampler:
        if len(batch) > 1:
            assert ATOMS[batch].sum() <= mode["max_atoms"]
            assert EDGES[batch].sum() <= max_edges
        else:
            large += EDGES[batch[0]] > max_edges
    assert ("exceed the budget" in caplog.text) == (large > 0)


def test_batches_within_a_budget_are_well_filled():
    sampler = make(max_atoms=100)
    # Random first fit, a reserve of 3 % and at most 40 of 100 atoms in a frame.
    assert len(sampler) <= 1.15 * ATOMS.sum() / 100 + 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stop", [0, 1, 4])
def test_resuming_within_an_epoch_continues_exactly(mode, stop):
    whole, broken = make(seed=5, **mode), make(seed=5, **mode)
    stop = min(stop, len(whole))
    for sampler in (whole, broken):
        sampler.set_epoch(2)
    expected = list(whole)
    iterator = iter(broken)
    first = [next(iterator) for _ in range(stop)]
    state = broken.state_dict()
    assert state == {"epoch": 2, "batch": stop}
    resumed = make(seed=5, **mode)
    resumed.load_state_dict(state)
    resumed.set_epoch(2)
    assert first + list(resumed) == expected
    # The next epoch, and another pass of this one, are whole again.
    assert list(resumed) == expected
    resumed.set_epoch(3)
    whole.set_epoch(3)
    assert list(resumed) == list(whole)


def test_a_position_is_dropped_when_another_epoch_begins():
    sampler = make(batch_size=8)
    sampler.load_state_dict({"epoch": 0, "batch": 5})
    sampler.set_epoch(1)
    assert sampler.state_dict() == {"epoch": 1, "batch": 0}
    assert len(list(sampler)) == len(sampler)


@pytest.mark.parametrize("mode", [{"batch_size": 8}, {"max_atoms": 150}, {"max_edges": 6000}])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_divide_the_batches_of_one_process(mode, world_size):
    ranks = [make(seed=1, rank=r, world_size=world_size, **mode) for r in range(world_size)]
    single = make(seed=1, **mode)
    assert {len(rank) for rank in ranks} == {len(single)}
    for epoch in range(5):
        shares = []
        for sampler in (*ranks, single):
            sampler.set_epoch(epoch)
            shares.append(list(sampler))
        *shares, whole = shares
        enough = all(len(batch) >= world_size for batch in whole)
        for number, batch in enumerate(whole):
            parts = [share[number] for share in shares]
            assert all(parts)
            if enough:
                assert sorted(flat(parts)) == sorted(batch)
            if mode.get("batch_size"):
                assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert sorted(flat(flat(shares))) == list(range(103))


def test_every_rank_knows_the_frames_of_a_batch_of_all():
    whole = make(max_atoms=100, seed=5)
    shares = [make(max_atoms=100, seed=5, rank=rank, world_size=2) for rank in range(2)]
    for epoch in (0, 3, 1):
        whole.set_epoch(epoch)
        sizes = [len(batch) for batch in whole]
        for share in shares:
            assert [share.frames_of(epoch, index) for index in range(len(sizes))] == sizes


def test_batches_of_too_few_frames_for_the_ranks_borrow_from_the_largest():
    single = make(max_atoms=60)
    assert min(map(len, single)) == 1
    ranks = [make(max_atoms=60, rank=r, world_size=2) for r in range(2)]
    assert len(ranks[0]) == len(single)
    shares = [list(rank) for rank in ranks]
    assert all(all(share) for share in shares)
    assert sorted(flat(flat(shares))) == list(range(103))


def test_batches_smaller_than_the_number_of_ranks_become_fewer(caplog):
    ranks = [make(batch_size=1, rank=r, world_size=2) for r in range(2)]
    assert "leave some of 2 ranks without one" in caplog.text
    shares = [list(rank) for rank in ranks]
    assert [len(share) for share in shares] == [51, 51]
    assert all(all(share) for share in shares)
    assert sorted(flat(flat(shares))) == list(range(103))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_evaluation_covers_each_frame_once_over_all_ranks(mode, world_size):
    shares = []
    for rank in range(world_size):
        sampler = make(shuffle=False, rank=rank, world_size=world_size, **mode)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1])
    assert sorted(flat(flat(shares))) == list(range(103))
    if world_size == 1:
        assert flat(shares[0]) == list(range(103))


def test_fewer_frames_than_ranks_are_evaluated_once():
    shares = [make(False, [3], [9], batch_size=4, rank=r, world_size=3) for r in range(3)]
    assert flat(flat(map(list, shares))) == [0]


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="give one of"):
        make()
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        make(batch_size=0)
    with pytest.raises(ValueError, match="no frames"):
        make(atoms=[], edges=[], batch_size=1)
    with pytest.raises(ValueError, match="too few for 2 ranks"):
        make(max_atoms=1, world_size=2)
    with pytest.raises(ValueError, match="rank 2 is not one of 2"):
        make(batch_size=4, rank=2, world_size=2)


def test_a_batch_size_above_the_data_set_gives_one_batch():
    assert [len(batch) for batch in make(atoms=[1, 2], edges=[0, 0], batch_size=100)] == [2]
