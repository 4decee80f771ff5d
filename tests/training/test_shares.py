"""How a batch is divided among workers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.training.shares import worker_count
from tests.helpers.runs import STEP

SIZES = st.integers(1, 5000)


@given(SIZES, SIZES, st.integers(1, 300))
def test_more_threads_never_mean_fewer_workers_nor_small_shares(B: int, H: int, n: int) -> None:
    workers = worker_count(B, H, n)
    assert 1 <= workers <= n
    assert workers <= worker_count(B, H, n + 1)
    spec = replace(STEP, batch_size=B, workers=workers)
    shares = [spec.streams(worker) for worker in range(workers)]
    assert [number for share in shares for number in range(B)[share]] == list(range(B))
    assert workers == 1 or min(share.stop - share.start for share in shares) >= 4


@pytest.mark.parametrize(("B", "H", "workers"), [(8, 128, 2), (7, 512, 1), (8, 127, 1)])
def test_small_batches_and_small_models_stay_in_one_process(B: int, H: int, workers: int) -> None:
    assert worker_count(B, H, 64) == workers
