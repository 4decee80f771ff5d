"""Dropout masks."""

import numpy as np
import pytest

from charnn.network.dropout import Dropout


def test_dropout_drops_its_share_keeps_the_mean_and_belongs_to_the_stream() -> None:
    masks = Dropout(0.25, (2, 8, 2000), np.float32, seed=1)(7)
    assert set(np.unique(masks)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (masks == 0).mean() == pytest.approx(0.25, abs=0.01)
    fewer = Dropout(0.25, (2, 3, 2000), np.float32, seed=1, first_stream=5)
    np.testing.assert_array_equal(masks[:, 5:], fewer(7))
    assert (masks[:, 5:] != fewer(8)).any()
