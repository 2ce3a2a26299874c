"""A golden publication: the sample's settings, templates and registries, with other issues.

``issue-c``, ``issue-c-clean``, ``gallery`` and ``reference`` hold only what differs from the
sample: their ``issues/`` folder, laid over the sample's registries and logos.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from newsletter import config

SAMPLE = Path(__file__).parent.parent.parent
GOLDEN = Path(__file__).parent


def build_golden(name: str, folder: Path) -> config.Settings:
    """Build the publication *name* in *folder* and return its settings."""
    shutil.copytree(SAMPLE / "templates", folder / "templates", dirs_exist_ok=True)
    shutil.copy(SAMPLE / "newsletter.toml", folder)
    issues = folder / "issues"
    issues.mkdir()
    for registry in (SAMPLE / "issues").glob("*.toml"):
        shutil.copy(registry, issues)
    shutil.copytree(SAMPLE / "issues" / "partenaires", issues / "partenaires")
    shutil.copytree(GOLDEN / name / "issues", issues, dirs_exist_ok=True)
    return config.load_settings(folder / "newsletter.toml", environ={})
