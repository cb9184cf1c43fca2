"""Settings: flag > environment > project file > user file > default. Loaded by a face and passed in, never global."""

from catalogdb.settings.folders import expand_home, state_folder, working_directory
from catalogdb.settings.loading import did_you_mean, load_settings
from catalogdb.settings.registry import SETTINGS, Setting, Settings
from catalogdb.settings.urls import database_file, normalise_url

__all__ = [
    "SETTINGS",
    "Setting",
    "Settings",
    "database_file",
    "did_you_mean",
    "expand_home",
    "load_settings",
    "normalise_url",
    "state_folder",
    "working_directory",
]
