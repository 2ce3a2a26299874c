"""Hands documents to the parsing child and replaces it when it dies (F3).

In: the bytes of a feed. Out: a ParsedFeed, or FeedFailed with what happened. Never: the bytes
parsed in this process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter

from newsletter.examples.parse import ParsedFeed
from newsletter.examples.parse_child import read_frame, write_frame
from newsletter.examples.reports import FeedFailed

_FEED = TypeAdapter(ParsedFeed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseLimits:
    """What one feed may cost the child."""

    memory_bytes: int = 512 * 1024 * 1024
    cpu_s: float = 10.0
    wall_s: float = 15.0


class Parser:
    """A child process that parses feeds: started when first needed, replaced when it dies."""

    def __init__(self, limits: ParseLimits | None = None) -> None:
        self._limits = limits or ParseLimits()
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def parse(self, content: bytes, url: str, content_type: str = "") -> ParsedFeed:
        """Parse one document; raise FeedFailed when it is no feed or costs too much."""
        request = {"url": url, "content_type": content_type, "cpu_s": self._limits.cpu_s}
        answer = self._ask(json.dumps(request).encode(), content, url)
        if "feed" in answer:
            return _FEED.validate_python(answer["feed"])
        if answer["error"] == "too_much_memory":
            self.close()  # it has ended itself
        raise FeedFailed(answer["error"], url, detail=answer.get("detail", ""))

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _ask(self, request: bytes, content: bytes, url: str) -> dict[str, Any]:
        child = self._child = self._child or _start(self._limits.memory_bytes)
        assert child.stdin is not None
        assert child.stdout is not None
        # Killing it is what ends a write or a read that would wait for ever.
        late = threading.Event()
        timer = threading.Timer(self._limits.wall_s, _end_late, (child, late))
        timer.start()
        try:
            write_frame(child.stdin, request)
            write_frame(child.stdin, content)
            answer = read_frame(child.stdout)
        except OSError:  # it died while we wrote
            answer = None
        finally:
            timer.cancel()
        if answer is None:
            # Ended by a limit of the system (processor time, memory), a fault in C, or the timer.
            self.close()
            raise FeedFailed("parse_timeout" if late.is_set() else "parse_died", url)
        found: dict[str, Any] = json.loads(answer)
        return found


def _end_late(child: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    child.kill()


def _start(memory_bytes: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-I", "-m", "newsletter.examples.parse_child", str(memory_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"LC_ALL": "C.UTF-8"},
    )
