"""The same checks guard the output files of `train`, `plot` and `report`."""

from pathlib import Path

import pytest

from charnn.commands.outfile import check_outfile, write_outfile
from charnn.errors import CharnnError, RequestError
from charnn.files import refuse_existing, refuse_inputs
from charnn.training.outputs import Outputs


def test_files_that_exist_are_named_with_what_to_do(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    refuse_existing([one, two])
    two.write_text("")
    with pytest.raises(RequestError) as found:
        refuse_existing([one, two], "rename it, or ")
    assert str(found.value) == f"{two} exists; rename it, or replace {two} by --overwrite"
    with pytest.raises(RequestError) as found:
        refuse_existing([two])
    assert str(found.value) == f"{two} exists; replace it by --overwrite"


def test_an_output_that_is_read_under_any_name_is_refused(tmp_path: Path) -> None:
    text, link = tmp_path / "text", tmp_path / "link.png"
    text.write_text("")
    link.symlink_to(text)
    refuse_inputs([tmp_path / "other.png"], [text])
    with pytest.raises(RequestError, match=r"link\.png would be overwritten, but is read"):
        refuse_inputs([tmp_path / "other.png", link], [text])


def test_all_commands_refuse_a_missing_folder_alike(tmp_path: Path) -> None:
    path = tmp_path / "none" / "run.npz"
    message = f"{path}: the folder {path.parent} does not exist"
    with pytest.raises(RequestError) as found:
        check_outfile(path, (".npz",), overwrite=True, inputs=[])
    assert str(found.value) == message
    with pytest.raises(RequestError) as found:
        Outputs(path).refuse_unwritable()
    assert str(found.value) == message


def test_an_outfile_has_the_right_ending_and_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(RequestError, match=r"--out takes a name ending in \.png or \.svg"):
        check_outfile(path, (".png", ".svg"), overwrite=False, inputs=[])
    check_outfile(path, (".html",), overwrite=False, inputs=[])
    write_outfile(path, b"page")
    assert path.read_bytes() == b"page"
    with pytest.raises(RequestError, match="exists"):
        check_outfile(path, (".html",), overwrite=False, inputs=[])
    check_outfile(path, (".html",), overwrite=True, inputs=[])
    with pytest.raises(CharnnError, match="cannot be written"):
        write_outfile(tmp_path / "none" / "page.html", b"page")
