"""The faults that Pilah names itself, each worded for the person who can mend it."""


class PilahError(Exception):
    """A fault whose message is one sentence: what is wrong and how to mend it."""


class ConfigError(PilahError):
    """The configuration says something that cannot be done."""


class BundleError(PilahError):
    """A model file is missing, broken, or does not keep the bundle's contract."""


class PictureError(PilahError):
    """A file cannot be read as a picture."""


class NothingToLearnError(PictureError):
    """A picture is too small, or shows too little, to be learnt from."""


class CameraError(PilahError):
    """A frame source cannot be opened or has stopped giving frames."""


class LidError(PilahError):
    """A lid's pins cannot be driven, or the lid does not reach its place."""


class JournalError(PilahError):
    """The history on disk cannot be read or written."""


class PageError(PilahError):
    """The page cannot be served, or its password or key cannot be kept or read."""


class MachineError(PilahError):
    """The machine is not as Pilah needs it: its clock, its permissions, its supply, or the terminal."""


class BenchError(PilahError):
    """A model cannot be timed."""
