"""The errors that a user can fix. Each is shown as one line and an exit code, without traceback."""


class CharnnError(Exception):
    """The work failed: a file, the data, or a run that diverged. Exit code 1."""

    exit_code = 1


class RequestError(CharnnError):
    """The request was wrong: an option or a config key. Exit code 2."""

    exit_code = 2


class ConfigError(RequestError):
    """A config is not valid. The message has one line for each error."""


class CorpusError(CharnnError):
    """A text cannot be read, or it has characters that are not in the vocabulary."""


class ReadError(CorpusError):
    """A text that cannot be read. The message names the file."""


class CheckpointError(CharnnError):
    """A checkpoint cannot be read or written, or it is not valid."""


class DivergenceError(CharnnError):
    """A loss, a gradient or a parameter is not finite, or the loss stays too high."""
