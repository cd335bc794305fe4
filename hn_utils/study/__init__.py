"""What is studied, on which model: settings, presets, and the reading of files of one's own."""

from __future__ import annotations

from hn_utils.study.given import AS_STUDIED, AsStudied, given_settings, names_its_settings, with_later_settings
from hn_utils.study.load import load_study, study_of_model
from hn_utils.study.naming import FETCHED, called
from hn_utils.study.own_files import FORMATS, OWN_FILES, is_file
from hn_utils.study.presets import (
    BUNDLED,
    ORGANISM,
    PLANTED,
    PRESETS,
    PUBLISHED,
    REAL,
    SMOKE,
    WITHOUT_A_HUB,
    planted_study,
)
from hn_utils.study.records import check_given, check_types, strict_record
from hn_utils.study.reference import settings_table
from hn_utils.study.settings import JUDGED_SETS, Sampling, Study, changed, check_name
from hn_utils.study.settings_files import located, read_record, tupled

__all__ = [
    "AS_STUDIED",
    "AsStudied",
    "BUNDLED",
    "FETCHED",
    "FORMATS",
    "JUDGED_SETS",
    "ORGANISM",
    "OWN_FILES",
    "PLANTED",
    "PRESETS",
    "PUBLISHED",
    "REAL",
    "SMOKE",
    "Sampling",
    "Study",
    "WITHOUT_A_HUB",
    "called",
    "changed",
    "check_given",
    "check_name",
    "check_types",
    "given_settings",
    "is_file",
    "load_study",
    "located",
    "names_its_settings",
    "planted_study",
    "read_record",
    "settings_table",
    "strict_record",
    "study_of_model",
    "tupled",
    "with_later_settings",
]
