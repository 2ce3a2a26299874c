"""A new publication folder from what the package carries.

In: an empty folder. Out: newsletter.toml, templates, registries, two fictional people, keys.
Never: a file overwritten.
"""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

from newsletter.config import FILE_NAME, write_keys
from newsletter.errors import ConfigError

REGISTRIES = {
    "partners.toml": (
        "# Vos partenaires : nom, adresse du site, logo.\n"
        "# [passerelle]\n"
        '# name = "La Passerelle"\n'
        '# url = "https://passerelle.example/"\n'
    ),
    "sources.toml": (
        "# D'où viennent vos chiffres ; on les cite par [^nom] dans un texte.\n"
        "# [enquete-2026]\n"
        '# title = "Enquête fictive sur les alliances"\n'
        '# institute = "Institut Exemple"\n'
        '# published = "mai 2026"\n'
    ),
    "glossary.toml": "# Les mots à écrire toujours de la même façon.\n",
    "feeds.opml": (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<opml version="2.0">\n  <head><title>La veille</title></head>\n  <body>\n'
        '    <!-- <outline type="rss" text="Titre" xmlUrl="https://flux.example/rss.xml"/> -->\n'
        "  </body>\n</opml>\n"
    ),
}


def sample_dir() -> Path:
    """The sample publication: inside the wheel, or the repository in an editable install."""
    packaged = Path(str(files("newsletter") / "_sample"))
    return packaged if packaged.is_dir() else packaged.parent.parent


def init_publication(folder: Path) -> tuple[Path, ...]:
    """Make a publication in *folder* and return the files written, relative to it.

    A publication that came without its keys, as a clone does, gets only those. Raise ConfigError
    when there is nothing to add, or when the folder cannot be written.
    """
    if (folder / FILE_NAME).exists():
        return _add_keys(folder)
    starter = Path(str(files("newsletter") / "starter"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_files(folder, starter)
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror}",
            path=str(error.filename or folder),
            remedy="choose another folder, or mend its rights",
        ) from None
    return tuple(sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()))


def _add_keys(folder: Path) -> tuple[Path, ...]:
    try:
        write_keys(folder / "var" / "keys")
    except FileExistsError:
        raise ConfigError(
            "there is a publication here already",
            path=str(folder / FILE_NAME),
            remedy="choose another folder",
        ) from None
    return (Path("var/keys"),)


def _write_files(folder: Path, starter: Path) -> None:
    shutil.copytree(sample_dir() / "templates", folder / "templates", dirs_exist_ok=False)
    for name, text in REGISTRIES.items():
        _write_new(folder / "issues" / name, text)
    _write_new(folder / "subscribers" / "people.csv", _read(starter / "people.csv"))
    _write_new(folder / "scheduler.py", _read(sample_dir() / "scheduler.py"))
    _write_new(folder / ".gitignore", "/var/\n/subscribers/\n/out/\n")
    write_keys(folder / "var" / "keys")
    # Last: its presence says that the folder is a publication.
    _write_new(folder / FILE_NAME, _read(starter / FILE_NAME))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _write_new(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
