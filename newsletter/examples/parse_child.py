"""The child that parses feeds, long-lived, within limits (F3, RECIPES 10).

In, on stdin: two frames (8-byte big-endian length, bytes), a JSON request ``{"url",
"content_type", "cpu_s"}`` and the document. Out, on stdout: one frame of JSON, ``{"feed": …}`` or
``{"error": code}``. Never: the network, another process, a file it did not import.

Run it as ``python -I -m newsletter.examples.parse_child MEMORY_BYTES``.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from dataclasses import asdict
from typing import IO, Any

from newsletter.examples.parse import NotAFeed, parse_feed

_LENGTH = struct.Struct(">Q")
_FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
              "os.spawn", "shutil.", "ftplib.", "urllib.", "http.", "ctypes.")  # fmt: skip
_MODULES = (".py", ".pyc", ".so")


def main() -> None:
    """Answer requests until stdin ends."""
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.addaudithook(_forbid)
    while (request := read_frame(source)) is not None:
        document = read_frame(source)
        if document is None:
            return
        answer, spent = _answer(json.loads(request), document)
        write_frame(sink, json.dumps(answer).encode())
        if spent:
            return


def _answer(request: dict[str, Any], document: bytes) -> tuple[dict[str, Any], bool]:
    """The answer, and whether this process has no memory left and must be replaced."""
    _allow_cpu(request["cpu_s"])
    try:
        feed = parse_feed(document, request["url"], request["content_type"])
    except NotAFeed as error:
        return {"error": error.code}, False
    except MemoryError:
        return {"error": "too_much_memory"}, True
    except Exception as error:  # noqa: BLE001 - feedparser raises anything on hostile bytes
        return {"error": "unreadable", "detail": type(error).__name__}, False
    return {"feed": asdict(feed)}, False


def _allow_cpu(seconds: float) -> None:
    """RLIMIT_CPU counts the whole process: raise the soft limit before each feed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _forbid(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what a parser of bytes has no business doing; modules may still be imported."""
    if event.startswith(_FORBIDDEN):
        raise PermissionError(event)
    if event == "open":
        path, _mode, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        if writes or not (isinstance(path, int) or str(path).endswith(_MODULES)):
            raise PermissionError(str(path))


def write_frame(sink: IO[bytes], content: bytes) -> None:
    """Write one length-prefixed frame; raise OSError when nobody reads."""
    sink.write(_LENGTH.pack(len(content)))
    sink.write(content)
    sink.flush()


def read_frame(source: IO[bytes]) -> bytes | None:
    """Read one frame; None at the end of the stream or in the middle of one."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = source.read(length)
    return body if len(body) == length else None


if __name__ == "__main__":
    main()
