"""The corpus builder: its rules on small samples, without downloads."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.in_process import ok_here
from tests.helpers.places import ROOT, script
from tests.helpers.texts import english

SCRIPT = ROOT / "data" / "build.py"

build = script("data/build.py")


def convert(source: str) -> str:
    """Return the dialogue of a play written in the source's Markdown."""
    text: str = build.dialogue(source)
    return text


def in_speech(line: str) -> str:
    """Return what one line becomes inside a speech, after the speaker's name."""
    return convert(f"**TOM**  \n{line}").removeprefix("TOM:\n")


def test_speeches_are_name_colon_lines_and_one_empty_line_apart() -> None:
    source = "**TOM**  \nThe kettle sings,  \nThe cat does not.\n\n\n**First Guest**  \nHush.\n"
    assert convert(source) == "TOM:\nThe kettle sings,\nThe cat does not.\n\nFirst Guest:\nHush."


@pytest.mark.parametrize(
    "direction",
    [
        "_Exit ANN_",
        "*Exit Ann.* ",
        "_Enter ANN, with a lantern; JOAN and\nother neighbours_",
        "*Enter Ann, with \na lantern.*",
        "_\\[Aside]_  ",
        "__\\[Waking]_  ",
        "[To ANN]_  ",
        "_Music _\\[far off, within_",
        "Enter ANN.",
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_a_direction_vanishes_and_does_not_end_the_speech(direction: str, gap: str) -> None:
    source = f"**TOM**  \nBefore it.  {gap}{direction}{gap}After it.\n\n**ANN**  \nWell."
    assert convert(source) == "TOM:\nBefore it.\nAfter it.\n\nANN:\nWell."


def test_a_direction_before_the_first_line_of_a_speech() -> None:
    assert convert("**TOM**  \n_\\[Within]_  \nWho calls?") == "TOM:\nWho calls?"


def test_two_directions_do_not_swallow_the_speech_between_them() -> None:
    assert in_speech("_Kneels_  \nGood madam.  \n_Rises_  \nFarewell.") == "Good madam.\nFarewell."


def test_an_unclosed_direction_does_not_reach_into_the_next_paragraph() -> None:
    assert "Safe." in convert("**TOM**  \nOne.\n\n_Exit\n\nSafe.\n\n_Exit_")


def test_headings_are_dropped_with_all_that_follows_up_to_a_name() -> None:
    source = (
        "# The Kettle\n\n## ACT I\n\n### SCENE I. A yard. A well\nbeside it.\n\nMore yard.\n\n"
        "_Enter TOM_\n\n**TOM**  \nWater!\n\n# INTERMISSION  \n\n#### ACT II\n\nA shed,\n\n"
        "SCENE II: The same.\n\n**Scene III**  \nA barn.\n\n**ANN**  \nFire!"
    )
    assert convert(source) == "TOM:\nWater!\n\nANN:\nFire!"


@pytest.mark.parametrize("title", ["SONG.", "THE SONG.", "ANN'S song.", "DUMB SHOW.", "THE KETTLE"])
def test_titles_inside_a_speech_are_dropped(title: str) -> None:
    assert in_speech(f"Sing on.\n\n{title}\n\nTra la.") == "Sing on.\nTra la."


def test_capitals_with_punctuation_are_speech() -> None:
    assert in_speech("signed, yours,  \nTOM KETTLE.'") == "signed, yours,\nTOM KETTLE.'"


def test_a_numbered_procession_is_a_direction() -> None:
    source = "Here they come.\n\n1\\. Two drummers.  \n2\\. A mayor  \nin red.\n\nHow grand!"
    assert in_speech(source) == "Here they come.\nHow grand!"


@pytest.mark.parametrize("heading", ["### PROLOGUE", "## Prologue. A street", "PROLOGUE"])
def test_a_prologue_without_a_name_speaks_for_itself(heading: str) -> None:
    assert convert(f"{heading}\n\nGood evening,  \nall.") == "PROLOGUE:\nGood evening,\nall."


def test_a_prologue_with_a_name_keeps_only_that_name() -> None:
    assert convert("### PROLOGUE\n\n**Chorus**  \nGood evening.") == "Chorus:\nGood evening."


def test_neighbouring_speeches_of_one_speaker_stay_two() -> None:
    source = "**TOM**  \nI go.\n\n_Exit, and returns_\n\n**TOM**  \nI came."
    assert convert(source) == "TOM:\nI go.\n\nTOM:\nI came."


def test_a_speech_without_words_is_dropped() -> None:
    assert convert("**TOM**  \n_Sighs_\n\n**ANN**  \nWell?") == "ANN:\nWell?"


def test_names_left_on_the_line_of_their_speech() -> None:
    source = (
        "**TOM**  \nWho?  \nLord Chief-Justice What now?  \nJeweller: A ring.\n\n**ANN**  \nOh."
    )
    expected = "TOM:\nWho?\n\nLord Chief-Justice:\nWhat now?\n\nJeweller:\nA ring.\n\nANN:\nOh."
    assert convert(source) == expected


@pytest.mark.parametrize(
    "line", ["serving-man and your husband.", "Jeweller and cook.", "Enter the house."]
)
def test_ordinary_lines_that_begin_like_names_or_directions(line: str) -> None:
    assert in_speech(line) == line


def test_names_cut_in_two() -> None:
    source = "**TOM**  \nHa!  \nBISHOP\n\n**OF LEEDS**  \nPeace.\n\n**TOM**  \nOh."
    assert convert(source) == "TOM:\nHa!\n\nBISHOP OF LEEDS:\nPeace.\n\nTOM:\nOh."


def test_verse_taken_for_a_name() -> None:
    source = "**TOM**  \nLook up!\n\n**Here stand I**  \nin the rain."
    assert convert(source) == "TOM:\nLook up!\nHere stand I in the rain."


def test_names_have_one_colon() -> None:
    assert convert("**TOM: & ANN:**  \nYes.") == "TOM & ANN:\nYes."


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("\\--'so,'\\-- he said  ", "--'so,'-- he said"),
        ("Sing  hey,\tho, & c.", "Sing hey, ho, &c."),
        ("for ever,' &amp; c. So  ", "for ever,' &c. So"),
        ("A shed—a barn — nay— ", "A shed--a barn--nay--"),
        ("And _\\[Tomlin,]_  ", "And Tomlin,"),
        ("He'll __\\[ ]_  ", "He'll"),
        ("I will, my lord. ...  ", "I will, my lord."),
        ("... Then do.", "Then do."),
        ("I did not stay...", "I did not stay..."),
        ("Élise, good night", "Élise, good night"),
    ],
)
def test_the_marks_of_a_line(source: str, expected: str) -> None:
    assert in_speech(source) == expected


def run(corpus: str, out: Path, source: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as a user does, with $TINYSHAKESPEARE set."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), corpus, str(out)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TINYSHAKESPEARE": str(source)},
    )


def test_a_wrong_tinyshakespeare_is_refused_and_nothing_written(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("Not the benchmark.\n")
    out = tmp_path / "new" / "tiny.txt"
    out.parent.mkdir()
    result = run("tinyshakespeare", out, wrong)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert hashlib.sha256(wrong.read_bytes()).hexdigest() in result.stderr
    assert build.EXPECTED_SHA256["tinyshakespeare"] in result.stderr
    assert list(out.parent.iterdir()) == []


def test_a_missing_tinyshakespeare_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    result = run("tinyshakespeare", tmp_path / "tiny.txt", tmp_path / "absent.txt")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "absent.txt" in result.stderr
    assert "TINYSHAKESPEARE=" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_right_file_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b"Any text.\n"
    (tmp_path / "source.txt").write_bytes(content)
    out = tmp_path / "new" / "tiny.txt"
    out.parent.mkdir()
    monkeypatch.setenv("TINYSHAKESPEARE", str(tmp_path / "source.txt"))
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(build.EXPECTED_SHA256, "tinyshakespeare", digest)
    assert build.main(["tinyshakespeare", str(out)]) == 0
    assert out.read_bytes() == content
    assert list(out.parent.iterdir()) == [out]
    assert "10 bytes" in capsys.readouterr().err


def test_a_refused_text_leaves_the_old_file_alone(tmp_path: Path) -> None:
    out = tmp_path / "old.txt"
    out.write_text("old")
    with pytest.raises(build.BuildError, match="not written"):
        build.write_checked(b"new", "0" * 64, out)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_failing_pip_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: slow\nERROR: no route\n")

    monkeypatch.setattr(build.subprocess, "run", fail)
    assert build.main(["shakespeare", str(tmp_path / "out.txt")]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "(no route)" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["shakespeare"], ["sonnets", "out.txt"]])
def test_bad_arguments_get_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_a_missing_folder_is_told_before_anything_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main(["shakespeare", str(tmp_path / "absent" / "out.txt")]) == 1
    assert "is not a directory" in capsys.readouterr().err


def test_a_speech_that_only_a_direction_gives_to_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(build.UNNAMED, "O heavy bucket,", "TOM")
    source = "### SCENE I. A yard.\n\n_Enter TOM_\n\nO heavy bucket,  \nO well!"
    assert convert(source) == "TOM:\nO heavy bucket,\nO well!"


def test_a_write_that_fails_leaves_no_partial_file(tmp_path: Path) -> None:
    out = tmp_path / "folder"
    out.mkdir()
    with pytest.raises(OSError, match="folder"):
        build.write_checked(b"new", hashlib.sha256(b"new").hexdigest(), out)
    assert list(tmp_path.iterdir()) == [out]


def test_the_names_of_the_last_year_come_by_frequency() -> None:
    table = """first_name,sex,count,year_of_birth
mary,f,99,2014
ann,f,7,2015
kim,f,5,2015
kim,m,6,2015
bob,m,7,2015
baby,f,80,2015
"""
    assert build.of_the_last_year(table) == b"kim\nann\nbob\n"


def test_names_may_be_makemore_s_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = tmp_path / "given.txt", tmp_path / "names.txt"
    given.write_text("emma\nolivia")
    monkeypatch.setenv("NAMES", str(given))
    assert build.main(["names", str(out)]) == 1
    assert "expected " + build.MAKEMORE_SHA256 in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.setattr(build, "MAKEMORE_SHA256", hashlib.sha256(given.read_bytes()).hexdigest())
    assert build.main(["names", str(out)]) == 0
    assert out.read_text() == "emma\nolivia"
    monkeypatch.setenv("NAMES", str(tmp_path / "absent"))
    assert build.main(["names", str(out)]) == 1
    assert "cannot read" in capsys.readouterr().err


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["text8", "enwik8"])
def test_extracts_of_wikipedia_come_zipped_or_not(
    name: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b" anarchism" if name == "text8" else "<mediawiki>é".encode()
    source, out = tmp_path / "source", tmp_path / "out.txt"
    source.write_bytes(zipped(name, content) if packed else content)
    monkeypatch.setenv(name.upper(), str(source))
    assert build.main([name, str(out)]) == 1  # the stand-in is not the real file
    assert not out.exists()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(build.SOURCE_MD5, name, digest)
    assert build.main([name, str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert [ord(character) for character in text] == list(content)


def test_a_zip_without_the_text_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (zipped("other", b"x"), b"PK broken"):
        (tmp_path / "source").write_bytes(content)
        monkeypatch.setenv("TEXT8", str(tmp_path / "source"))
        assert build.main(["text8", str(tmp_path / "out.txt")]) == 1
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert "no text8 in the zip file" in message


def test_the_penn_treebank_has_a_sentence_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.txt"
    monkeypatch.delenv("PTB", raising=False)
    assert build.main(["ptb.valid", str(out)]) == 1
    assert "set PTB=" in capsys.readouterr().err
    monkeypatch.setenv("PTB", str(tmp_path))
    assert build.main(["ptb.valid", str(out)]) == 1
    assert "cannot read" in capsys.readouterr().err
    content = b" no it was n't \n <unk> and N \n"
    (tmp_path / "ptb.valid.txt").write_bytes(content)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(build.SOURCE_MD5, "ptb.valid", digest)
    assert build.main(["ptb.valid", str(out)]) == 0
    assert out.read_text() == "no it was n't\n<unk> and N\n"


@pytest.mark.parametrize("name", ["ptb", "text8", "enwik8"])
def test_the_field_s_splits_on_stand_ins(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each config reads what its builder writes, and splits it as the field does."""
    (tmp_path / "data").mkdir()
    lines = english(4000).encode().splitlines()
    monkeypatch.setenv("PTB", str(tmp_path))
    for part, share in (("train", lines[:-9]), ("valid", lines[-9:-4]), ("test", lines[-4:])):
        file = f"ptb.{part}"
        content = b"".join(b" " + line + b" \n" for line in share)
        (tmp_path / f"{file}.txt").write_bytes(content)
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        monkeypatch.setitem(build.SOURCE_MD5, file, digest)
        if name == "ptb":
            assert build.main([file, str(tmp_path / "data" / f"{file}.txt")]) == 0
    if name != "ptb":
        content = english(5000).encode() + bytes([0xC3, 0xA9])  # é in UTF-8: two bytes
        (tmp_path / name).write_bytes(content)
        monkeypatch.setenv(name.upper(), str(tmp_path / name))
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        monkeypatch.setitem(build.SOURCE_MD5, name, digest)
        assert build.main([name, str(tmp_path / "data" / f"{name}.txt")]) == 0
    small = ["--set", "model.hidden_size=8", "--max-steps", "2", "--quiet"]
    config = str(ROOT / "configs" / f"{name}.yaml")
    ok_here("train", "--config", config, *small, cwd=tmp_path)
    for split in ("val", "test"):
        read = ["eval", "--ckpt", f"{name}.best.npz", "--split", split, "--json"]
        figures = json.loads(ok_here(*read, cwd=tmp_path))
        part = {"val": "valid", "test": "test"}[split]
        if name == "ptb":
            expected = len((tmp_path / "data" / f"ptb.{part}.txt").read_text())
        else:
            expected = len((tmp_path / "data" / f"{name}.txt").read_text()) * 5 // 100
        assert abs(figures["characters"] - expected) <= (name != "ptb")
