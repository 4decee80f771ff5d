"""Advice for a command line that the parser refuses: charnn's name for a command or an option."""

import re
from collections.abc import Collection
from itertools import pairwise

from charnn.showing import one_line

# What commands are called elsewhere.
_COMMANDS = {
    "continue": "train --resume",
    "finetune": "train --init FILE.npz",
    "gen": "sample",
    "generate": "sample",
    "perplexity": "eval",
    "resume": "train --resume",
    "score": "eval --each",
    "test": "eval",
    "validate": "eval",
    "version": "--version",
    "visualize": "inspect",
}
_TEXT = ("corpus", "dataset", "file", "input", "input_file", "text", "data_dir")
_MODEL = ("checkpoint", "load", "m", "model", "model_file", "weights")
_TO_STDOUT = "the output goes to stdout: write > FILE"
_FROM_TEXT = dict.fromkeys(_TEXT, "--data")
_FROM_MODEL = dict.fromkeys(_MODEL, "--ckpt")
# What options are called elsewhere, by command: an option, or advice.
_OPTIONS = {
    "train": _FROM_TEXT
    | dict.fromkeys(("checkpoint", "output", "save", "save_dir"), "--out")
    | dict.fromkeys(("ckpt", "load", "model", "pretrained", "weights"), "--init")
    | dict.fromkeys(("max_time", "time"), "--time-limit")
    | dict.fromkeys(("cpu", "cuda", "device", "gpu"), "charnn runs on the CPU only"),
    "plan": _FROM_TEXT | dict.fromkeys(("o", "out", "output"), _TO_STDOUT),
    "sample": _FROM_MODEL
    | dict.fromkeys(("chars", "count", "length", "max_new_tokens", "max_tokens", "num"), "--n")
    | dict.fromkeys(
        ("prefix", "primetext", "prompt", "seed_text", "start", "start_text"), "--prime"
    )
    | dict.fromkeys(("num_samples", "number"), "--samples")
    | dict.fromkeys(("t", "temp"), "--temperature")
    | dict.fromkeys(("k", "topk"), "--top-k")
    | dict.fromkeys(("p", "topp", "nucleus"), "--top-p")
    | dict.fromkeys(("o", "out", "output"), _TO_STDOUT),
    "eval": _FROM_MODEL | _FROM_TEXT | {"block_size": "--context", "seq_length": "--context"},
    "inspect": _FROM_MODEL | _FROM_TEXT,
    "report": _FROM_MODEL | _FROM_TEXT,
    "export": _FROM_MODEL,
    "info": _FROM_MODEL,
    "config": dict.fromkeys(("o", "out", "output"), _TO_STDOUT),
    "plot": dict.fromkeys(
        ("ckpt", "log"), "name the logs without an option: charnn plot run.jsonl"
    ),
}


def advised(reason: str, words: list[str], commands: Collection[str]) -> str:
    """Return the parser's reason with advice, in one line.

    Args:
        reason: the parser's message.
        words: of the command line, after `charnn`.
        commands: all names of commands.
    """
    command, rest = (words[0], words[1:]) if words else ("", [])
    reason = re.sub(", unable to parse.*", "", reason)
    reason = reason.replace("Input should be", "must be").replace("Value error, ", "")
    if "No such command" in reason:
        return _of_command(reason, command)
    if "extra argument" in reason:
        reason += _of_argument(command, rest)
    if reason.startswith("Missing option '--ckpt'"):
        named = next((word for word in rest if word.endswith(".npz")), "FILE.npz")
        reason = f"no checkpoint given: use --ckpt {named}"
    if refused := re.match(r"No such option: (\S+)", reason):
        reason = _of_option(reason, refused[1], command, rest)
    # The error of an option without its value does not know its command.
    known = (command,) if command in commands else ()
    return f"{one_line(reason)} (see {' '.join(('charnn', *known))} --help)"


def _of_command(reason: str, name: str) -> str:
    """Return the reason for an unknown command, with the usual one."""
    if usual := _COMMANDS.get(name.lower()):
        reason = f"No such command '{name}': use charnn {usual}"
    elif "." in name:
        file = "--ckpt" if name.endswith(".npz") else "--data"
        task = "sample" if name.endswith(".npz") else "train"
        reason = f"No such command '{name}': to use a file, charnn {task} {file} {name}"
    return f"{one_line(reason)} (see charnn --help)"


def _of_argument(command: str, words: list[str]) -> str:
    """Return advice for a word that belongs to no option."""
    for option, value in pairwise(words):
        if option == "--resume" and not value.startswith("-"):
            return "; --resume takes no name: name the checkpoint with --out"
        if option == "--set" and "=" not in value:
            return "; --set takes KEY=VALUE, as in --set model.cell=lstm"
    if command in ("train", "plan", "eval"):
        return "; put --data before each text, or quote a glob"
    if command == "gradcheck":
        return "; name your file with --mine"
    return ""


def _of_option(reason: str, option: str, command: str, words: list[str]) -> str:
    """Return the reason for an unknown option, with the option or the key of the usual name."""
    if re.fullmatch("-[a-z]", option):  # perhaps the beginning of a long name, as in -rnn_size
        option = next((w for w in words if w.startswith(option) and w[2:3].isalpha()), option)
    name = option.lstrip("-").partition("=")[0].replace("-", "_")
    advice = _OPTIONS.get(command, {}).get(name, "")
    if advice.startswith("--"):
        advice = f"use {advice}"
    elif not advice and command in ("train", "plan"):
        advice = _of_key(name)
    return f"No such option: {option}; {advice}" if advice else reason


def _of_key(name: str) -> str:
    """Return how to set the config key that has this name, if there is one."""
    from charnn.config.keys import known_keys
    from charnn.config.problems import usual_name

    name = usual_name(name.rpartition(".")[2])
    for section, keys in known_keys().items():
        if name in keys:
            return f"it is a key of the config: --set {section}.{name}=VALUE"
    return ""
