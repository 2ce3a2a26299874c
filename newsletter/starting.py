"""A new publication folder from what the package carries.

In: an empty folder. Out: newsletter.toml, templates, registries, two fictional people, keys.
Never: a file overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
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
    written: list[Path] = []
    try:
        for name, content in _list_files():
            _write_new(folder / name, content)
            written.append(name)
    except OSError as error:
        _take_back(folder, written)
        raise ConfigError(
            f"cannot be written: {error.strerror}",
            path=str(error.filename or folder),
            remedy="make room or mend its rights, or choose another folder",
        ) from None
    return tuple(sorted(written))


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder over another; the first failure is an OSError that names its file."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


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


def _list_files() -> Iterator[tuple[Path, bytes | None]]:
    """Yield every file of a new publication; None stands for fresh keys."""
    starter, templates = Path(str(files("newsletter") / "starter")), sample_dir() / "templates"
    for path in sorted(templates.rglob("*")):
        if path.is_file():
            yield "templates" / path.relative_to(templates), path.read_bytes()
    for name, text in REGISTRIES.items():
        yield Path("issues", name), text.encode()
    yield Path("subscribers", "people.csv"), (starter / "people.csv").read_bytes()
    yield Path("scheduler.py"), (sample_dir() / "scheduler.py").read_bytes()
    yield Path(".gitignore"), b"/var/\n/subscribers/\n/out/\n"
    yield Path("var", "keys"), None
    # Last: its presence says that the folder is a publication.
    yield Path(FILE_NAME), (starter / FILE_NAME).read_bytes()


def _write_new(path: Path, content: bytes | None) -> None:
    """Write a file that is not there, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        write_keys(path)
        return
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            path.unlink()
            raise


def _take_back(folder: Path, written: Sequence[Path]) -> None:
    """Remove what a failed beginning has written, so that the next one is not in its way."""
    for name in written:
        (folder / name).unlink(missing_ok=True)
    left = {folder / parent for name in (*written, Path("var", "keys")) for parent in name.parents}
    for place in sorted(left, reverse=True):
        with suppress(OSError):  # something else stands there
            place.rmdir()
