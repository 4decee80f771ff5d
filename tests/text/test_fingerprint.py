"""The fingerprint of a text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.text import fingerprint
from charnn.text.corpus import Corpus
from charnn.text.reading import read_blocks
from tests.helpers.blocks import TEXTS, short_blocks
from tests.helpers.ranks import OneRank


@given(st.lists(TEXTS, min_size=1, max_size=3), st.integers(1, 6), st.sampled_from([4, 5, 7]))
def test_ranks_read_all_of_a_text_and_hash_it_as_one_does(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], n: int, size: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    paths = [str(folder / f"part{k}.txt") for k in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        Path(path).write_bytes(text.encode())
    with short_blocks(size):
        parts = ["".join(read_blocks(paths, ranks=OneRank(rank, n))) for rank in range(n)]
        whole = "".join(read_blocks(paths))
        assert "".join(parts) == whole
        blocks = []
        for part in parts:
            hashed = fingerprint.Fingerprint()
            for character in part:
                hashed.update(character.encode())
            blocks += hashed.blocks()
        if len(whole) > 1:
            at_once = Corpus.from_text(whole).fingerprint
            assert fingerprint.Fingerprint(blocks).hexdigest() == at_once


def test_the_fingerprint_is_the_sha256_of_the_text() -> None:
    assert Corpus.from_text("né\n").fingerprint == (
        "9f8aa52f24100ff479a39365dc8e7f691f435006b610381220ee69b2745d2b67"
    )
