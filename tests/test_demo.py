"""`newsletter demo`, whole: the sample's week, judged by the mailbox it leaves behind."""

import csv
import email
import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from email import policy
from email.header import decode_header, make_header
from email.utils import parseaddr
from pathlib import Path

import pytest

from newsletter.cli.app import run
from newsletter.cli.output import Exit

REPOSITORY = Path(__file__).parent.parent
ODD_NAMES = {
    "farid.levy@example.org": 'فريد 🌱 Lévy "Fred", dit; l’Ami',
    "siobhan.o'brien@example.org": "Siobhán O’Brien",
    "therese.n-guyen@entraide-du-phare.example": "Thérèse N’Guyen",
    "loic.guivarch@velos-solidaires.example": "Loïc Guivarc’h",
}


def play(folder):
    """Run the command; return its exit code, its document and what it said meanwhile."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["demo", "--dir", str(folder), "--json"])
    return code, json.loads(out.getvalue()), err.getvalue()


class Played:
    def __init__(self, folder):
        self.folder = folder
        self.code, self.story, self.said = play(folder)
        self.mailbox = folder / "var" / "mailbox" / "new"
        self.raw = {}
        for file in self.mailbox.iterdir():
            content = file.read_bytes()
            # The two lines above the message are the mailbox's own.
            envelope, message = content.split(b"\r\n", 2)[:2], content.split(b"\r\n", 2)[2]
            reader = envelope[1].decode().removeprefix("Delivered-To: ")
            self.raw[reader] = (envelope[0].decode().removeprefix("Return-Path: "), message)
        self.messages = {
            reader: email.message_from_bytes(message, policy=policy.default)
            for reader, (_, message) in self.raw.items()
        }
        self.plain = {
            reader: email.message_from_bytes(message) for reader, (_, message) in self.raw.items()
        }


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    return Played(tmp_path_factory.mktemp("demo") / "jeudis")


@pytest.fixture(scope="module")
def people():
    """Address as it travels (the domain in ASCII) → the row that says who receives."""
    with (REPOSITORY / "subscribers" / "sample.csv").open(encoding="utf-8", newline="") as file:
        return {travelling(row["email"]): row for row in csv.DictReader(file)}


def recipient(message):
    """The name and address of To, by the rules of RFC 2047 §6.2.

    Python 3.11's modern parser keeps the blank between two encoded words of a name.
    """
    name, address = parseaddr(message.get("To", "").replace("\r\n", ""))
    return str(make_header(decode_header(name))), address


def travelling(address):
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}".casefold()


# --- who ----------------------------------------------------------------------------------------


def test_the_mailbox_holds_one_message_for_each_that_the_report_calls_sent(played):
    report = played.story["report"]
    assert played.code == Exit.DONE
    assert report["run"]["state"] == "done"
    assert len(list(played.mailbox.iterdir())) == len(played.raw) == report["sent"]
    assert report["sent"] == report["audience"]


def test_those_who_receive_are_those_of_whom_the_sample_says_so(played, people):
    wanted = {one for one, row in people.items() if row["pourquoi"].startswith("reçoit")}
    assert {reader.casefold() for reader in played.raw} == wanted


def test_nobody_receives_who_left_complained_paused_or_never_confirmed(played, people):
    refused = {one for one, row in people.items() if row["pourquoi"].startswith("ne reçoit pas")}
    assert refused
    assert not refused & {reader.casefold() for reader in played.raw}


def test_odd_names_arrive_right(played):
    for address, name in ODD_NAMES.items():
        assert recipient(played.plain[address]) == (name, address)


def test_every_reader_is_written_to_under_their_own_name(played, people):
    for address, message in played.plain.items():
        row = people[address.casefold()]
        assert recipient(message) == (f"{row['prenom']} {row['nom']}".strip(), address)


# --- what ---------------------------------------------------------------------------------------


def test_each_message_is_two_readings_of_the_same_text_first(played):
    for message in played.messages.values():
        assert not message.defects
        assert message.get_content_type() == "multipart/alternative"
        parts = [part.get_content_type() for part in message.iter_parts()]
        assert parts == ["text/plain", "text/html"]
        assert all(not part.defects and not part.is_attachment() for part in message.iter_parts())


def test_each_message_has_every_header_that_receivers_ask_for(played):
    for address, message in played.messages.items():
        assert message["From"].addresses[0].addr_spec == "jeudis@jeudis.example.org"
        assert message["Reply-To"].addresses[0].addr_spec == "redaction@jeudis.example.org"
        assert message["List-Id"].endswith("<jeudis.example.org>")
        assert re.fullmatch(
            r"<https://jeudis\.example\.org/u/[a-z2-7]+>", message["List-Unsubscribe"].strip()
        )
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        for name in ("List-Help", "List-Subscribe", "List-Archive", "List-Post", "Feedback-ID"):
            assert message[name], name
        assert message["Subject"] == "Jeudi de l’ODD\u00a017\u00a0: trois communes, une cuisine"
        assert message["Date"].datetime.isoformat() == "2026-05-07T08:00:00+02:00"
        assert message["Content-Language"] == "fr"
        assert re.fullmatch(r"<[a-z2-7]+@jeudis\.example\.org>", message["Message-ID"])
        assert "Auto-Submitted" not in message, address
        assert len(message.keys()) == len(set(message.keys())), "a header stands twice"


def test_each_message_comes_back_to_an_address_of_its_own(played):
    senders = [sender for sender, _ in played.raw.values()]
    assert all(re.fullmatch(r"<retours\+[a-z2-7]+@jeudis\.example\.org>", one) for one in senders)
    assert len(set(senders)) == len(senders)
    assert len({message["Message-ID"] for message in played.messages.values()}) == len(senders)


def test_no_address_is_readable_in_a_token(played):
    for address, (sender, _) in played.raw.items():
        assert address.partition("@")[0] not in sender
        assert address.partition("@")[0] not in played.messages[address]["Message-ID"]


def test_no_line_is_longer_than_what_travels_unharmed(played):
    for _, content in played.raw.values():
        header, _, body = content.partition(b"\r\n\r\n")
        assert all(len(line) <= 998 for line in header.split(b"\r\n"))
        lines = body.split(b"\r\n")
        assert all(len(line) <= 76 for line in lines)
        assert not any(line.startswith(b".") or line.endswith((b" ", b"\t")) for line in lines)
        assert b"\n" not in content.replace(b"\r\n", b"")


def test_no_hole_is_left_open(played):
    for message in played.messages.values():
        for part in message.iter_parts():
            text = part.get_content()
            assert "\ue000" not in text
            assert "\ue001" not in text
            assert "{{" not in text


def test_every_reader_gets_the_same_pictures(played):
    shown = {
        tuple(re.findall(r'<img[^>]+src="([^"]+)"', message.get_body(("html",)).get_content()))
        for message in played.messages.values()
    }
    (pictures,) = shown
    assert all(one.startswith("https://jeudis.example.org/media/") for one in pictures)


def test_letters_to_the_team_lie_apart_from_the_issue(played):
    letters = [*(played.folder / "var" / "mailbox" / ".Letters" / "new").iterdir()]
    to = [email.message_from_bytes(one.read_bytes())["Delivered-To"] for one in letters]
    assert set(to) <= {
        "maelle@jeudis.example.org", "yannis@jeudis.example.org", "solene@jeudis.example.org",
    }  # fmt: skip


# --- what it says, and again --------------------------------------------------------------------


def test_every_path_it_names_is_there(played):
    named = re.findall(r"(?:the page|the text|a message|messages in) +(/\S+)", played.said)
    assert len(named) == 4
    assert all(Path(path).exists() for path in named)
    assert Path(played.story["folder"]) == played.folder
    assert Path(played.story["mailbox"]) == played.mailbox.parent


def test_every_command_it_proposes_for_this_folder_works(played):
    tried = re.findall(r"^  newsletter (report .*)$", played.said, re.MULTILINE)
    with redirect_stdout(io.StringIO()) as out:
        assert [run(line.split()) for line in tried] == [Exit.DONE]
    assert "audience 43 = 43 sent" in out.getvalue()


def test_playing_it_again_in_the_same_folder_sends_to_nobody_twice(tmp_path):
    first = Played(tmp_path / "jeudis")
    kept = {file.name for file in first.mailbox.iterdir()}
    code, story, said = play(first.folder)
    assert code == Exit.DONE
    assert story["report"] == first.story["report"]
    assert {file.name for file in first.mailbox.iterdir()} == kept
    assert "nobody receives it twice" in said


def test_it_never_writes_over_somebody_s_folder(tmp_path):
    (tmp_path / "newsletter.toml").write_text("# mine\n", encoding="utf-8")
    code, story, _ = play(tmp_path)
    assert (code, story["error"]["code"]) == (Exit.USAGE, "config")
    assert (tmp_path / "newsletter.toml").read_text(encoding="utf-8") == "# mine\n"
    assert [path.name for path in tmp_path.iterdir()] == ["newsletter.toml"]


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    code, story, _ = play(tmp_path / "file")
    assert (code, story["error"]["path"]) == (Exit.USAGE, str(tmp_path / "file"))
