"""Publications to render."""

from __future__ import annotations

import pytest

from tests.mail.scenery import Publication


@pytest.fixture
def publication(tmp_path):
    return Publication(tmp_path)
