"""The screen of the preview: what is on view, drafted again at every save.

In: settings read again each time, the database (read only), an issue's id, a clock. Out: the
newest ``Shown``, and a way to wait for the next. Never: a row written; a failure that ends the
preview: whatever a save breaks becomes a finding, beside the last good rendering.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from newsletter.checks.catalogue import in_order
from newsletter.config import Settings
from newsletter.content.files import list_issues
from newsletter.editions import Draft, draft_issue
from newsletter.errors import ContentError, NewsletterError, NotFound
from newsletter.model import Finding, IssueId, Severity
from newsletter.previewing.page import Shown
from newsletter.previewing.weights import Measured, measure
from newsletter.spelling import advise

Load = Callable[[], Settings]
Clock = Callable[[], datetime]


class Screen:
    """What is on view, and who waits for the next version of it."""

    def __init__(self, load: Load, engine: Engine, issue_id: IssueId, clock: Clock) -> None:
        """Draft the issue a first time; raise NotFound when there is no such folder."""
        self._sources = _Sources(load, engine, clock)
        self._changed = asyncio.Condition()
        self.shown = self._sources.first(issue_id)

    @property
    def root(self) -> Path:
        return self.shown.settings.root

    def refresh(self, changed: Iterable[str] = ()) -> None:
        """Draft the issue again; the issue before it only when what changed may concern it."""
        folder = f"{self.shown.settings.issues_dir / self.shown.issue_id}/"
        only_ours = all(path.startswith(folder) for path in changed)
        self.shown = self._sources.next(self.shown, again=not only_ours)

    async def follow(self, changed: Iterable[str]) -> None:
        """Refresh beside the event loop, then wake every page."""
        await asyncio.to_thread(self.refresh, changed)
        async with self._changed:
            self._changed.notify_all()

    async def wait(self, seen: int, timeout_s: float) -> int:
        """Return the version on view once it is not *seen*, or after *timeout_s*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self.shown.version != seen)
        return self.shown.version


# --- drafting -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where drafts come from."""

    load: Load
    engine: Engine
    clock: Clock

    def first(self, issue_id: IssueId) -> Shown:
        settings = self.load()
        if issue_id not in list_issues(settings):
            raise NotFound(f"there is no issue {issue_id}", remedy=f"newsletter new {issue_id}")
        nothing = Shown(
            version=0,
            issue_id=issue_id,
            settings=settings,
            draft=Draft(),
            at=self.clock(),
            took_ms=0,
        )
        return self.next(nothing, again=True)

    def next(self, last: Shown, *, again: bool) -> Shown:
        """Return what follows *last*: the newest draft, beside the last that has a mail."""
        began = time.perf_counter()
        settings, draft = self.draft(last)
        at = self.clock()
        shown = replace(
            last,
            version=last.version + 1,
            settings=settings,
            draft=draft,
            at=at,
            lines=_read_lines(settings.root, draft.findings),
        )
        if draft.issue is not None and draft.edition is not None:
            shown = replace(shown, good=draft, good_at=at, now=measure(draft.issue, draft.edition))
        took_ms = round((time.perf_counter() - began) * 1000)
        before = self.measure_before(shown) if again else last.before
        return replace(shown, before=before, took_ms=took_ms)

    def draft(self, last: Shown) -> tuple[Settings, Draft]:
        settings = last.settings
        try:
            settings = self.load()
            return settings, _spell(draft_issue(settings, self.engine, last.issue_id))
        except ContentError as error:
            return settings, Draft(findings=error.findings)
        except NewsletterError as error:
            return settings, Draft(findings=(_failure(error, settings.root),))
        except Exception as error:  # noqa: BLE001 - a save in mid-thought can break anything
            said = NewsletterError(f"{type(error).__name__}: {error}")
            return settings, Draft(findings=(_failure(said, settings.root),))

    def measure_before(self, shown: Shown) -> Measured | None:
        """Return the figures of the issue before, or None when none can be rendered."""
        earlier = [name for name in list_issues(shown.settings) if name < shown.issue_id]
        if not earlier:
            return None
        with suppress(NewsletterError):
            draft = draft_issue(shown.settings, self.engine, earlier[-1])
            if draft.issue is not None and draft.edition is not None:
                return measure(draft.issue, draft.edition)
        return None


def _spell(draft: Draft) -> Draft:
    """Add the advice on spelling, as ``check`` does."""
    found = advise(draft.checked) if draft.checked else ()
    return replace(draft, findings=in_order((*draft.findings, *found)))


def _failure(error: NewsletterError, root: Path) -> Finding:
    path = Path(error.path) if error.path else None
    inside = path is not None and path.is_absolute() and path.is_relative_to(root)
    return Finding(
        severity=Severity.ERROR,
        code=error.code,
        message="It cannot be rendered: {reason}.",
        remedy=error.remedy or "Undo the last change, or correct it and save again.",
        file=path.relative_to(root).as_posix() if path and inside else error.path,
        line=error.line,
        facts={"reason": error.message.rstrip(".")},
    )


def _read_lines(root: Path, findings: Iterable[Finding]) -> dict[tuple[str, int], str]:
    """Return the lines that findings speak of, from files of the publication only."""
    wanted = {(one.file, one.line) for one in findings if one.file and one.line}
    texts = {file: _read_text(root, file) for file, _ in wanted if file}
    return {
        (file, line): texts[file][line - 1].strip()
        for file, line in wanted
        if file and line and line <= len(texts[file])
    }


def _read_text(root: Path, file: str) -> list[str]:
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()):
        return []
    try:
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        return []
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
