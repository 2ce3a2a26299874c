from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from sqlalchemy import select

from newsletter import letters
from newsletter.config import Dkim, Relay
from newsletter.delivery.embedded import LETTERS, open_relay
from newsletter.delivery.states import Reply
from newsletter.errors import ConfigError, ConnectFailed, Unanswered
from newsletter.model import LetterState
from newsletter.store import database
from newsletter.store.letters import queue
from newsletter.store.schema import letter as table


class Relaying:
    """A relay that answers what it is told, and keeps what it was given."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.seen = []

    def __call__(self, settings, *, sender, recipient, content):
        self.seen.append((sender, recipient, content))
        answer = self.answers.pop(0) if self.answers else Reply(250)
        if isinstance(answer, Exception):
            raise answer
        return answer


def write(engine, now, *addresses, **changes):
    with database.write(engine) as connection:
        for address in addresses:
            fields = {"kind": "held", "key": "k", "subject": "Sujet", "text": "Texte"} | changes
            queue(connection, address=address, now=now, **fields)


def states(engine):
    with database.read(engine) as connection:
        return list(connection.execute(select(table.c.state, table.c.tries).order_by(table.c.id)))


def test_what_is_due_is_sent_once(settings, engine, keys, now):
    write(engine, now, "a@example.org", "b@example.org")
    relay = Relaying()
    assert letters.send_due(settings, engine, keys, now, submit=relay) == 2
    assert letters.send_due(settings, engine, keys, now, submit=relay) == 0
    assert [recipient for _, recipient, _ in relay.seen] == ["a@example.org", "b@example.org"]
    assert states(engine) == [(LetterState.SENT, 1)] * 2


def test_the_intent_is_committed_before_anything_leaves(settings, sqlite_engine, keys, now):
    write(sqlite_engine, now, "a@example.org")
    seen = []

    def submit(_settings, **_message):
        seen.extend(states(sqlite_engine))
        return Reply(250)

    letters.send_due(settings, sqlite_engine, keys, now, submit=submit)
    assert seen == [(LetterState.SENDING, 0)]


def test_a_deferred_letter_is_tried_again_and_at_last_given_up(settings, engine, keys, now):
    write(engine, now, "a@example.org")
    relay = Relaying(*[Reply(451)] * 20)
    for _ in range(10):
        letters.send_due(settings, engine, keys, now, submit=relay)
        letters.send_due(settings, engine, keys, now + timedelta(seconds=1), submit=relay)
        now += timedelta(hours=12)
    assert len(relay.seen) == len(letters.BACK_OFF) + 1
    assert states(engine) == [(LetterState.REFUSED, len(letters.BACK_OFF) + 1)]


def test_every_try_is_the_same_message(settings, engine, keys, now):
    write(engine, now, "a@example.org")
    relay = Relaying(Reply(451))
    letters.send_due(settings, engine, keys, now, submit=relay)
    letters.send_due(settings, engine, keys, now + timedelta(hours=1), submit=relay)
    assert relay.seen[0] == relay.seen[1]


def test_a_refused_letter_keeps_the_reply(settings, engine, keys, now):
    write(engine, now, "a@example.org")
    relay = Relaying(Reply(550, "5.1.1", "no such user"))
    assert letters.send_due(settings, engine, keys, now, submit=relay) == 0
    with database.read(engine) as connection:
        row = connection.execute(select(table)).one()
    assert (row.state, row.reply) == (LetterState.REFUSED, "550 5.1.1 no such user")


def test_without_an_answer_a_letter_is_unknown_and_never_sent_again(settings, engine, keys, now):
    write(engine, now, "a@example.org")
    relay = Relaying(Unanswered("no answer", host="x.test"))
    letters.send_due(settings, engine, keys, now, submit=relay)
    letters.send_due(settings, engine, keys, now + timedelta(days=30), submit=relay)
    assert len(relay.seen) == 1
    assert states(engine)[0][0] == LetterState.UNKNOWN


def test_a_relay_that_is_down_stops_the_round_and_charges_nobody(settings, engine, keys, now):
    write(engine, now, "a@example.org", "b@example.org")
    relay = Relaying(ConnectFailed("down", host="x.test"))
    letters.send_due(settings, engine, keys, now, submit=relay)
    assert len(relay.seen) == 1
    assert states(engine) == [(LetterState.QUEUED, 0)] * 2
    assert letters.send_due(settings, engine, keys, now + letters.RELAY_PAUSE, submit=relay) == 2


def test_an_address_that_cannot_travel_is_refused_and_the_others_go_on(settings, engine, keys, now):
    write(engine, now, "é@example.org", "b@example.org")
    relay = Relaying()
    assert letters.send_due(settings, engine, keys, now, submit=relay) == 1
    assert [state for state, _ in states(engine)] == [LetterState.REFUSED, LetterState.SENT]


@pytest.mark.parametrize(
    "relay",
    [
        Relay(dkim=Dkim(selector="a", key_file="var/none.pem")),
        Relay(url="smtp://compte@relais.example.org"),
    ],
)
def test_a_fault_of_configuration_leaves_every_letter_queued(settings, engine, keys, now, relay):
    write(engine, now, "a@example.org")
    with pytest.raises(ConfigError):
        letters.send_due(
            settings.model_copy(update={"relay": relay}), engine, keys, now, submit=Relaying()
        )
    assert states(engine) == [(LetterState.QUEUED, 0)]


def test_one_letter_goes_to_each_of_the_team_once(engine, now):
    people = ["a@example.org", "b@example.org"]
    with database.write(engine) as connection:
        for expected in (2, 0):
            queued = letters.queue_for(
                connection, people, kind="held", key="1:checks", words=("s", "t"), now=now
            )
            assert queued == expected


def test_a_letter_reaches_a_real_mailbox(settings, engine, keys, now, tmp_path):
    write(engine, now, "editrice@example.org", subject="Retenu\u00a0: été", text="Rien\n. parti")
    with open_relay(tmp_path / "box") as (host, port):
        relay = settings.model_copy(update={"relay": Relay(url=f"smtp://{host}:{port}")})
        assert letters.send_due(relay, engine, keys, now) == 1
    (file,) = (tmp_path / "box" / LETTERS / "new").iterdir()
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert message["Delivered-To"] == "editrice@example.org"
    assert message["Subject"] == "Retenu\u00a0: été"
    assert message.get_content() == "Rien\r\n. parti\r\n"


def test_a_letter_reaches_the_embedded_mailbox(settings, sqlite_engine, keys, now):
    write(sqlite_engine, now, "editrice@example.org")
    assert letters.send_due(settings, sqlite_engine, keys, now) == 1
    assert len(list((settings.var_dir / "mailbox" / LETTERS / "new").iterdir())) == 1


def test_a_relay_that_quotes_the_address_does_not_bring_it_into_the_log(
    settings, engine, keys, now, caplog
):
    caplog.set_level("INFO")
    write(engine, now, "maelle.kerguen@example.org")
    relay = Relaying(Reply(550, "5.1.1", "<maelle.kerguen@example.org>: unknown"))
    letters.send_due(settings, engine, keys, now, submit=relay)
    assert "550 5.1.1" in caplog.text
    assert "maelle" not in caplog.text
