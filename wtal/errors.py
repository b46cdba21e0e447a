"""What can go wrong by the user's hand. Each message says what, where, and how to mend it; the CLI exits with 2."""


class WtalError(Exception):
    """The root: every error that a user can cause and mend."""


class DataError(WtalError):
    """A file or folder of data is not what it should be."""


class ConfigError(WtalError):
    """A setting is unknown or out of its range."""


class CheckpointError(WtalError):
    """A run or model folder is not one, or does not fit the data."""
