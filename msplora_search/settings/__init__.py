"""The study and space files as validated models; the only reader and writer of YAML."""

from msplora_search.settings.load import check_file, load_space, load_study, shipped
from msplora_search.settings.models import StudySettings
from msplora_search.settings.space import SpaceSettings

__all__ = ["SpaceSettings", "StudySettings", "check_file", "load_space", "load_study", "shipped"]
