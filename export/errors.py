"""The faults of an export."""

from device.errors import PilahError


class ExportError(PilahError):
    """A checkpoint cannot become a bundle; the previous bundle stays in place."""
