"""The metrics log: whole lines of JSON, and the lines that a resumed run keeps."""

import dataclasses
import json
import resource
from pathlib import Path

import pytest

from charnn.errors import CharnnError
from charnn.training.metrics import Metrics, MetricsLog
from tests.helpers.runs import make_metrics


def write(path: Path, steps: list[int], after_step: int = 0) -> None:
    log = MetricsLog(path, after_step)
    for step in steps:
        log.append(make_metrics(step))
    log.sync()
    log.close()


def steps_in(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def test_each_line_is_an_object_with_every_number_exact(path: Path) -> None:
    write(path, [0, 3, 10])
    lines = path.read_text().splitlines()
    assert [Metrics(**json.loads(line)) for line in lines] == [
        make_metrics(0),
        make_metrics(3),
        make_metrics(10),
    ]
    assert list(json.loads(lines[0])) == [field.name for field in dataclasses.fields(Metrics)]


def test_a_line_is_readable_as_soon_as_it_is_appended(path: Path) -> None:
    log = MetricsLog(path)
    log.append(make_metrics(1))
    assert steps_in(path) == [1]
    log.close()


def test_a_new_log_replaces_an_older_one(path: Path) -> None:
    write(path, [0, 1, 2])
    write(path, [5])
    assert steps_in(path) == [5]


def test_going_on_keeps_the_lines_up_to_the_step_byte_for_byte_and_cuts_the_rest(
    path: Path,
) -> None:
    write(path, [2, 4, 6, 8])
    before = path.read_bytes().splitlines(keepends=True)
    write(path, [], after_step=6)
    assert path.read_bytes() == b"".join(before[:3])
    write(path, [5, 7], after_step=4)
    assert steps_in(path) == [2, 4, 5, 7]
    assert path.read_bytes().startswith(b"".join(before[:2]))


@pytest.mark.parametrize(
    "torn",
    [b'{"step": 3, "ep', b'{"step": 3}', b"\xff\xfe\n", b'{"other": 3}\n', b"[3]\n", b"\n"],
)
def test_going_on_cuts_from_the_first_line_that_is_not_whole(path: Path, torn: bytes) -> None:
    write(path, [1, 2])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    write(path, [], after_step=9)
    assert path.read_bytes() == whole


def test_a_step_that_is_no_number_is_not_whole_either(path: Path) -> None:
    write(path, [1])
    whole = path.read_bytes()
    path.write_bytes(whole + whole.replace(b'"step": 1', b'"step": null'))
    write(path, [], after_step=9)
    assert path.read_bytes() == whole


def test_going_on_without_a_log_begins_one(path: Path) -> None:
    write(path, [7], after_step=6)
    assert steps_in(path) == [7]


def test_the_seconds_go_on_from_the_last_line_kept(path: Path) -> None:
    write(path, [2, 4, 6])
    log = MetricsLog(path, after_step=5)
    assert log.seconds == make_metrics(4).seconds
    log.close()
    log = MetricsLog(path)
    assert log.seconds == 0
    log.close()


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CharnnError) as caught:
        MetricsLog(tmp_path / "no" / "run.jsonl")
    assert str(caught.value) == (
        f"{tmp_path / 'no' / 'run.jsonl'}: cannot be written: No such file or directory"
    )


def test_a_line_that_cannot_be_written_is_one_line(path: Path) -> None:
    log = MetricsLog(path)
    log.append(make_metrics(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # This stands for a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 9, limits[1]))
    try:
        with pytest.raises(CharnnError) as caught:
            log.append(make_metrics(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == f"{path}: cannot be written: File too large"
    log.close()
