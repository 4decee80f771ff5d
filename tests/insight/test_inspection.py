"""Inspection reads long texts in bounded pieces."""

import numpy as np
import pytest

from charnn.insight.inspection import Inspection
from charnn.insight.reading import read
from charnn.text.vocabulary import Vocabulary
from tests.helpers.inside import H, K, make_ids, make_model


def test_long_texts_are_read_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = make_model(2, scale=3), make_ids()
    whole = read(model, ids, 3)
    monkeypatch.setattr("charnn.insight.reading._MAX_LOGITS", 5 * K)
    pieces = read(model, ids, 3)
    np.testing.assert_allclose(pieces.bits, whole.bits)
    np.testing.assert_array_equal(pieces.likeliest, whole.likeliest)
    monkeypatch.setattr("charnn.insight.inspection.MAX_STATES", 2 * H * 11)
    assert len(Inspection(model, Vocabulary("abcdefg"), ids, 30).ids) == 11
