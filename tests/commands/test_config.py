"""`charnn config` prints a config that `train` accepts."""

from pathlib import Path

from tests.helpers.commands import ok


def test_the_printed_config_is_one_that_train_takes(folder: Path) -> None:
    (folder / "all.yaml").write_text(ok("config", cwd=folder))
    command = ["train", "--config", "all.yaml", "--data", "text.txt", "--stop-after", "1"]
    ok(*command, "--quiet", cwd=folder)
    assert (folder / "run.npz").exists()
