import errno

import pytest

from newsletter import starting
from newsletter.config import load_keys, load_settings
from newsletter.errors import ConfigError
from newsletter.starting import init_publication


def test_a_new_publication_loads_unedited(tmp_path):
    folder = tmp_path / "lettre"
    written = init_publication(folder)
    settings = load_settings(folder, environ={})
    assert settings.relay.is_embedded
    assert load_keys(settings, environ={}).current == 1
    assert {"newsletter.toml", "scheduler.py"} <= {str(path) for path in written}


def test_a_second_init_touches_nothing(tmp_path):
    init_publication(tmp_path / "lettre")
    toml = tmp_path / "lettre" / "newsletter.toml"
    toml.write_text("# mine\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="already"):
        init_publication(tmp_path / "lettre")
    assert toml.read_text(encoding="utf-8") == "# mine\n"


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError):
        init_publication(tmp_path / "file")


def test_a_publication_without_keys_gets_only_those(tmp_path):
    init_publication(tmp_path / "lettre")
    (tmp_path / "lettre" / "var" / "keys").unlink()
    assert [str(path) for path in init_publication(tmp_path / "lettre")] == ["var/keys"]


def test_a_disk_that_fills_up_leaves_nothing_in_the_way(tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with (
        monkeypatch.context() as patched,
        pytest.raises(ConfigError, match="No space left") as caught,
    ):
        patched.setattr(starting, "write_keys", full)
        init_publication(tmp_path / "lettre")
    assert "make room" in caught.value.remedy
    assert not (tmp_path / "lettre").exists()
    assert init_publication(tmp_path / "lettre")


def test_what_stands_in_the_folder_is_neither_listed_nor_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    assert "mine.txt" not in {str(path) for path in init_publication(tmp_path)}


def test_a_file_of_mine_is_not_overwritten_and_the_rest_is_taken_back(tmp_path):
    (tmp_path / "scheduler.py").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"scheduler\.py: cannot be written: File exists"):
        init_publication(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["scheduler.py"]
