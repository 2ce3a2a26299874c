import io
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import ConfigError
from newsletter.feedback.mailbox import read_messages, split_mbox

ONE = b"From: a@example.org\nSubject: un\n\nBonjour\n"
TWO = b"From: b@example.org\nSubject: deux\n\n>From ici\n\nla fin\n"


def test_a_file_holds_one_message(tmp_path):
    (tmp_path / "one.eml").write_bytes(ONE)
    assert list(read_messages(str(tmp_path / "one.eml"))) == [ONE]


def test_an_mbox_holds_several(tmp_path):
    mbox = b"From x Thu May  7 08:00:00 2026\n" + ONE + b"\nFrom y Thu May  7 08:01:00 2026\n" + TWO
    (tmp_path / "mbox").write_bytes(mbox)
    first, second = read_messages(str(tmp_path / "mbox"))
    assert first == ONE
    assert second == TWO.replace(b">From", b"From") + b"\n"


def test_the_standard_input_is_read_like_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(ONE)))
    assert list(read_messages("-")) == [ONE]


def test_an_empty_file_holds_nothing(tmp_path):
    (tmp_path / "empty").write_bytes(b"\n")
    assert list(read_messages(str(tmp_path / "empty"))) == []


def test_a_maildir_is_read_once(tmp_path):
    (tmp_path / "new").mkdir()
    for name, content in (("1", ONE), ("2", TWO)):
        (tmp_path / "new" / name).write_bytes(content)
    assert list(read_messages(str(tmp_path))) == [ONE, TWO]
    assert list(read_messages(str(tmp_path))) == []
    assert sorted(file.name for file in (tmp_path / "cur").iterdir()) == ["1:2,S", "2:2,S"]


def test_a_message_not_dealt_with_is_shown_again(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "1").write_bytes(ONE)
    messages = read_messages(str(tmp_path))
    assert next(messages) == ONE
    messages.close()
    assert list(read_messages(str(tmp_path))) == [ONE]


def test_a_missing_file_says_what_may_be_given(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        list(read_messages(str(tmp_path / "none")))
    assert "Maildir" in caught.value.remedy


@given(st.binary())
def test_no_octet_of_a_single_message_is_lost(content):
    if content.strip() and not content.startswith(b"From "):
        assert list(split_mbox(content)) == [content]
