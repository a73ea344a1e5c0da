"""The settings of one bin: typed, checked, and read from one TOML file."""

from device.config.files import (
    DEFAULT_PATH,
    PRESETS,
    check_config,
    config_path,
    edit_config,
    parse_config,
    preset_text,
    read_config,
    write_config,
)
from device.config.places import journal_path, state_folder, tell_whose
from device.config.schema import (
    CameraSection,
    CompartmentSection,
    Config,
    DecisionSection,
    JournalSection,
    LightsSection,
    ModelSection,
    PageSection,
    PresenceSection,
    RegionSection,
)

__all__ = [
    "DEFAULT_PATH",
    "PRESETS",
    "CameraSection",
    "CompartmentSection",
    "Config",
    "DecisionSection",
    "JournalSection",
    "LightsSection",
    "ModelSection",
    "PageSection",
    "PresenceSection",
    "RegionSection",
    "check_config",
    "config_path",
    "edit_config",
    "journal_path",
    "parse_config",
    "preset_text",
    "read_config",
    "state_folder",
    "tell_whose",
    "write_config",
]
