"""Errors a user can mend: each is one clear line and an exit code, never a traceback."""


class CharnnError(Exception):
    """The work failed: a file, the data, or a run that diverged. Exit code 1."""

    exit_code = 1


class RequestError(CharnnError):
    """The request was wrong: an option or a config key. Exit code 2."""

    exit_code = 2


class ConfigError(RequestError):
    """A config that is not valid; the message holds one line for each error found."""


class CorpusError(CharnnError):
    """A text that cannot be read, or cannot be encoded with the vocabulary at hand."""


class CheckpointError(CharnnError):
    """A checkpoint that cannot be read, written or trusted."""


class DivergenceError(CharnnError):
    """A loss, a gradient or a parameter is not a finite number."""
