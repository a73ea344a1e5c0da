"""The settings of one bin: typed, checked, and read from one TOML file."""

from device.config.files import (
    PRESETS,
    check_config,
    config_path,
    edit_config,
    preset_text,
    read_config,
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
    "preset_text",
    "read_config",
    "state_folder",
    "tell_whose",
]
