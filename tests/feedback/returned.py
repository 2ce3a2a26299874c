"""Messages that come back, as real systems write them; people and domains are fictional."""

from email import message_from_string

from newsletter.mail.compose import Outgoing

MAIL_SYSTEM = "Mail Delivery System <MAILER-DAEMON@mx.example>"


def headers_of(outgoing: Outgoing) -> str:
    return outgoing.content.partition(b"\r\n\r\n")[0].decode().replace("\r\n", "\n")


def dsn(
    outgoing: Outgoing,
    *,
    status: str = "5.1.1",
    action: str = "failed",
    said: str = "550 5.1.1 <camille@mairie.example>: Recipient address rejected: User unknown",
    to: str | None = None,
    quoted: bool = True,
) -> bytes:
    """Postfix's notification (RFC 3464)."""
    original = headers_of(outgoing) if quoted else "Subject: x"
    return f"""\
Return-Path: <>
From: {MAIL_SYSTEM}
To: {outgoing.sender if to is None else to}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="B"

--B
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

<camille@mairie.example>: host mx.mairie.example said: {said}

--B
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.org
Arrival-Date: Thu,  7 May 2026 08:00:01 +0200 (CEST)

Final-Recipient: rfc822; camille@mairie.example
Original-Recipient: rfc822;camille@mairie.example
Action: {action}
Status: {status}
Remote-MTA: dns; mx.mairie.example
Diagnostic-Code: smtp; {said}

--B
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

{original}

--B--
""".encode()


def complaint(outgoing: Outgoing, kind: str = "abuse") -> bytes:
    """A feedback loop's report (RFC 5965)."""
    return f"""\
From: Feedback <fbl@box.example>
To: plaintes@example.org
Subject: FW: votre message
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="B"

--B
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report for an email message.

--B
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Loop/1.0
Version: 1
Original-Rcpt-To: <camille@mairie.example>

--B
Content-Type: message/rfc822

{headers_of(outgoing)}

Bonjour
--B--
""".encode()


def answer(outgoing: Outgoing, *, subject: str, text: str, headers: str = "") -> bytes:
    """What a person, or a machine for them, writes to the envelope sender."""
    return f"""\
From: Camille Dubreuil <camille@mairie.example>
To: {outgoing.sender}
Subject: {subject}
In-Reply-To: {message_from_string(headers_of(outgoing))["Message-ID"].strip()}
{headers}MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

{text}
""".encode()


def qmail(outgoing: Outgoing) -> bytes:
    """A notification of no standard."""
    return f"""\
From: MAILER-DAEMON@mx.example
To: {outgoing.sender}
Subject: failure notice

Hi. This is the qmail-send program at mx.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<camille@mairie.example>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

Return-Path: <{outgoing.sender}>
{headers_of(outgoing)}

Bonjour
""".encode()
