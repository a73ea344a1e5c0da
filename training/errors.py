"""The faults of training, each worded for the person who can mend it."""

from device.errors import PilahError


class DataError(PilahError):
    """The photos or their description cannot be trained on."""


class TrainingError(PilahError):
    """A training cannot go on."""


class CheckpointError(PilahError):
    """A checkpoint is missing, broken or of another network."""
