"""Check that an answer is a result or one clear line."""

import re

import numpy as np

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.errors import CharnnError
from tests.helpers.in_process import charnn


def check_command(arguments: list[str], stdin: bytes = b"") -> int:
    """Run a command and check its answer; return its exit code."""
    try:
        code, out, err = charnn(arguments, stdin)
        check_answer(code, err)
        # A sample may overflow midway. A dry run reports existing files after the plan.
        shown_first = arguments[0] == "sample" or "--dry-run" in arguments
        assert code == 0 or not out or shown_first, out
    except BaseException as error:
        error.add_note(f"charnn {arguments!r:.1000} < {stdin!r:.1000}")
        raise
    return code


def check_answer(code: int, err: str) -> None:
    """Check an exit code and stderr."""
    assert code in (0, 1, 2), (code, err)
    if code:
        errors = [line for line in err.splitlines() if line.startswith("charnn: error: ")]
        assert errors, err
        assert len(errors) == 1 or code == 2, err  # all errors of a config come at once
        assert all(len(line) < 1100 for line in errors), err
    assert "Traceback" not in err, err
    assert re.fullmatch(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]*", err), repr(err)


def check_lines(error: CharnnError) -> None:
    """Check an error: it has one short line, or one for each problem of a config."""
    lines = str(error).split("\n")
    assert len(lines) == 1 or error.exit_code == 2, lines
    assert all(line.isprintable() and len(line) < 1000 for line in lines), lines


def same(one: Checkpoint, other: Checkpoint) -> bool:
    """Return whether two checkpoints have equal contents."""
    return (
        one.config == other.config
        and one.vocabulary == other.vocabulary
        and one.progress == other.progress
        and np.array_equal(one.model.parameters.flat, other.model.parameters.flat)
        and np.array_equal(np.array(one.hidden_state), np.array(other.hidden_state))  # may be None
        and one.slots.keys() == other.slots.keys()
        and all(np.array_equal(one.slots[name], other.slots[name]) for name in one.slots)
    )
