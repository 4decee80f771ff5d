"""Which files a path stands for, in which order, and the error if there is none."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.errors import ReadError
from charnn.text.finding import Order, files_named, natural_key


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")


def names(folder: Path, *paths: str, order: Order = "natural") -> list[str]:
    found = files_named([str(folder / path) for path in paths], order)
    return [str(Path(path).relative_to(folder)) for path in found]


def test_numbers_in_names_are_compared_by_their_value(tmp_path: Path) -> None:
    made(tmp_path, "chapter10.txt", "chapter2.txt", "chapter02.txt", "appendix.txt", "1.txt")
    natural = ["1.txt", "appendix.txt", "chapter02.txt", "chapter2.txt", "chapter10.txt"]
    assert names(tmp_path, "") == names(tmp_path, "*.txt") == natural
    assert names(tmp_path, "*", order="name") == sorted(natural)


@given(st.lists(st.text(alphabet="a0123/-é٣", max_size=8), max_size=6), st.randoms())
def test_the_natural_order_is_one_order_whatever_the_names(
    paths: list[str], random: Random
) -> None:
    once = sorted(paths, key=natural_key)
    random.shuffle(paths)
    assert once == sorted(paths, key=natural_key)


def test_what_was_named_first_is_read_first(tmp_path: Path) -> None:
    made(tmp_path, "b.txt", "a.txt", "more/c.txt")
    assert names(tmp_path, "more", "b.txt", "a.txt") == ["more/c.txt", "b.txt", "a.txt"]


def test_a_folder_has_compressed_texts_but_no_text_twice(tmp_path: Path) -> None:
    made(tmp_path, "a.txt", "a.txt.gz", "b.txt.xz", "c.txt.bz2", "d.gz", "e.md")
    assert names(tmp_path, "") == ["a.txt", "b.txt.xz", "c.txt.bz2"]
    # Version 0.1.0 did this, and its runs must find their texts again.
    assert names(tmp_path, "", order="name") == ["a.txt"]


def error(path: Path) -> str:
    with pytest.raises(ReadError) as caught:
        files_named([str(path)])
    return str(caught.value)


def test_a_folder_without_texts_says_what_it_has(tmp_path: Path) -> None:
    made(tmp_path, "posts/1.md", "posts/2.md", "posts/a.html", "posts/.x.log", "book/one/1.rst")
    hint = f'a folder without *.txt files; it has 2 *.md: give "{tmp_path}/posts/*.md"'
    assert error(tmp_path / "posts") == f"{tmp_path}/posts: {hint}"
    hint = f'it has 1 *.rst in its folders: give "{tmp_path}/book/**/*.rst"'
    assert error(tmp_path / "book").endswith(hint)
    (tmp_path / "empty").mkdir()
    assert error(tmp_path / "empty").endswith("a folder without *.txt files")


def test_a_bracket_is_explained_where_a_pattern_finds_nothing(tmp_path: Path) -> None:
    assert error(tmp_path / "a*").endswith("a*: no file matches")
    assert "[[] stands for the character [" in error(tmp_path / "a[1] b.txt")
