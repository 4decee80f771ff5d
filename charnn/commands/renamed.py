"""Old spellings of arguments. They work for one version, with a note."""

from charnn.commands.console import say

_OPTIONS = {
    ("inspect", "--text"): "--data",
    ("report", "--text"): "--data",
    ("plot", "--against"): "--x",
}


def as_now(words: list[str]) -> list[str]:
    """Return the words of a command line in today's spelling."""
    command, rest = words[0], words[1:]
    found = [command]
    unnamed = command == "info" and not any(word.startswith("--ckpt") for word in rest)
    for word in rest:
        name, equals, value = word.partition("=")
        new = _OPTIONS.get((command, name))
        if new is not None:
            say(f"note: {name} is now called {new}")
            word = f"{new}{equals}{value}"
        elif unnamed and not word.startswith("-") and "--ckpt" not in found:
            say("note: `charnn info FILE` is now `charnn info --ckpt FILE`")
            found.append("--ckpt")
        found.append(word)
    return found
