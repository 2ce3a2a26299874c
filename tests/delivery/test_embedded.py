import os
import smtplib
import socket
import threading
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from newsletter.delivery.embedded import MAX_BYTES, open_relay

MESSAGE = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: x\r\n\r\n.point\r\nfin\r\n"


@pytest.fixture
def relay(tmp_path):
    with open_relay(tmp_path / "mailbox") as address:
        yield address


def kept(tmp_path):
    return sorted((tmp_path / "mailbox" / "new").iterdir())


def test_a_message_is_kept_as_it_came_under_its_envelope(tmp_path, relay):
    with smtplib.SMTP(*relay) as client:
        client.sendmail("retours+token@example.org", ["b@example.org"], MESSAGE)
    (file,) = kept(tmp_path)
    assert file.read_bytes() == (
        b"Return-Path: <retours+token@example.org>\r\nDelivered-To: b@example.org\r\n" + MESSAGE
    )
    assert file.name.endswith(".b@example.org")
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert (message["Delivered-To"], message["Subject"]) == ("b@example.org", "x")


def test_each_recipient_has_a_file_of_their_own(tmp_path, relay):
    people = [f"p{number}@example.org" for number in range(3)]
    with smtplib.SMTP(*relay) as client:
        client.sendmail("a@example.org", people, MESSAGE)
        client.sendmail("a@example.org", people, MESSAGE)
    assert len(kept(tmp_path)) == 6


def test_the_maildir_is_one(tmp_path, relay):
    box = tmp_path / "mailbox"
    assert {path.name for path in box.iterdir()} == {"tmp", "new", "cur", ".Letters"}
    assert {path.name for path in (box / ".Letters").iterdir()} == {"tmp", "new", "cur"}


def test_letters_have_a_folder_of_their_own(tmp_path, relay):
    letter = MESSAGE.replace(b"Subject:", b"Auto-Submitted: auto-generated\r\nSubject:", 1)
    quoting = MESSAGE + b"\r\nAuto-Submitted: auto-generated\r\n"
    with smtplib.SMTP(*relay) as client:
        client.sendmail("a@example.org", ["b@example.org"], b"X: y\r\n" + letter)
        client.sendmail("a@example.org", ["b@example.org"], quoting)
    assert len(kept(tmp_path)) == 1
    assert len(list((tmp_path / "mailbox" / ".Letters" / "new").iterdir())) == 1


def test_the_answer_names_the_folder(tmp_path, relay):
    letter = b"X: y\r\nAuto-Submitted: auto-generated\r\n" + MESSAGE
    with smtplib.SMTP(*relay) as client:
        client.ehlo()
        for content, box in ((MESSAGE, "mailbox/new"), (letter, "mailbox/.Letters/new")):
            client.mail("a@example.org")
            client.rcpt("b@example.org")
            _, said = client.data(content)
            assert said.decode() == f"2.0.0 kept in {tmp_path.name}/{box}"


def test_pipelining_is_announced_and_taken(tmp_path, relay):
    with socket.create_connection(relay) as client, client.makefile("rb") as replies:
        client.sendall(b"EHLO client.test\r\n")
        replies.readline()
        offer = b""
        while not offer.startswith(b"250 "):
            offer = replies.readline()
            if offer == b"250-PIPELINING\r\n":
                break
        assert offer == b"250-PIPELINING\r\n"
        while not offer.startswith(b"250 "):
            offer = replies.readline()
        group = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
        client.sendall(group)
        assert [replies.readline()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
        client.sendall(MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n" + group)
        assert [replies.readline()[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
    (file,) = kept(tmp_path)
    assert file.read_bytes().endswith(MESSAGE)


def test_a_message_of_more_than_30_megabytes_is_refused(relay):
    with smtplib.SMTP(*relay) as client, pytest.raises(smtplib.SMTPSenderRefused) as caught:
        client.ehlo()
        client.mail("a@example.org", [f"size={MAX_BYTES}"])
        client.rset()
        client.sendmail("a@example.org", ["b@example.org"], b"x" * (MAX_BYTES + 1))
    assert caught.value.smtp_code == 552


def test_several_clients_at_once_lose_nothing(tmp_path, relay):
    def send(number):
        with smtplib.SMTP(*relay) as client:
            for turn in range(20):
                client.sendmail("a@example.org", [f"p{number}-{turn}@example.org"], MESSAGE)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept(tmp_path)) == 80
    assert not list((tmp_path / "mailbox" / "tmp").iterdir())


def test_a_client_that_stays_does_not_keep_the_server(tmp_path):
    with open_relay(tmp_path / "mailbox") as address:
        idle = socket.create_connection(address)
        busy = socket.create_connection(address)
        busy.sendall(b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx")
        assert idle.recv(3) == b"220"
        busy.recv(10)
        assert address[1] in our_listening_ports()
    assert "embedded relay" not in {thread.name for thread in threading.enumerate()}
    for client in (idle, busy):
        client.close()
    assert address[1] not in our_listening_ports()
    assert not kept(tmp_path)


def our_listening_ports():
    """The TCP ports that this process listens on, as the system knows them."""
    ours = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
    lines = Path("/proc/self/net/tcp").read_text("ascii").splitlines()[1:]
    rows = [line.split() for line in lines]
    return {
        int(local.rpartition(":")[2], 16)
        for _, local, _, state, *_, inode in (row[:10] for row in rows)
        if state == "0A" and f"/proc/{os.getpid()}/fd/socket:[{inode}]" in ours
    }


def test_clients_who_knock_while_it_ends_are_let_go(tmp_path, all_closed):
    for _ in range(20):
        with open_relay(tmp_path / "mailbox") as address:
            knocking = [socket.socket() for _ in range(4)]
            for client in knocking:
                client.setblocking(False)
                client.connect_ex(address)
        for client in knocking:
            client.close()


def test_an_odd_recipient_cannot_leave_the_folder(tmp_path, relay):
    with smtplib.SMTP(*relay) as client:
        client.sendmail("a@example.org", ["a/b/etc*x@example.org"], MESSAGE)
    (file,) = kept(tmp_path)
    assert file.parent == tmp_path / "mailbox" / "new"
    assert file.name.endswith(".a_b_etc_x@example.org")


def test_two_relays_run_side_by_side(tmp_path):
    with open_relay(tmp_path / "one") as one, open_relay(tmp_path / "two") as two:
        assert one != two
