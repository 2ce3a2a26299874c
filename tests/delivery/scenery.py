"""What the delivery tests act in: settings towards a relay, readers, a run that may leave."""

from __future__ import annotations

import random
import threading
from collections import Counter
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import insert, select

from newsletter import config
from newsletter.delivery.endpoints import Deadlines, open_endpoints
from newsletter.delivery.routes import Route
from newsletter.store import breakdown, database, ledger, schema, waiting, windows
from tests.delivery.sink import Rule

DIGEST = "d" * 64


def with_relay(settings: config.Settings, url: str, **relay) -> config.Settings:
    """The same settings towards another relay."""
    values = {"url": url, "connections": 4} | relay
    return settings.model_copy(update={"relay": config.Relay(**values)})


def open_route(settings, url, **relay):
    """One relay, as a dispatch that begins sees it."""
    with open_endpoints(with_relay(settings, url, **relay)) as (endpoint,):
        return Route(endpoint, Deadlines())


def fill(connection, count: int, *, domain: str = "lecteurs.example", start: int = 0) -> list[int]:
    """Insert *count* active readers; return their random ids."""
    ids = [random.Random(start + i).getrandbits(62) + 1 for i in range(count)]
    connection.execute(
        insert(schema.subscriber),
        [
            {
                "id": ids[i],
                "address": f"lecteur{start + i}@{domain}",
                "address_key": f"lecteur{start + i}@{domain}",
                "state": "active",
                "first_name": f"Prénom{start + i}",
                "last_name": "",
                "created_at": datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
            }
            for i in range(count)
        ],
    )
    return ids


def start_run(engine, now: datetime, *, readers: int = 5, domains: dict[str, int] | None = None):
    """Make an edition, readers and a dispatching run; return its id."""
    with database.write(engine) as connection:
        connection.execute(
            insert(schema.edition).values(
                digest=DIGEST,
                issue_id="2026-05-07",
                subject="Un sujet",
                preheader="",
                sender="La Lettre d'essai <lettre@example.org>",
                html="<p>Bonjour \ue000first_name|vous\ue001</p>"
                '<p><a href="\ue000unsubscribe_url|x\ue001">Partir</a></p>' + "<p>Texte.</p>" * 40,
                text="Bonjour \ue000first_name|vous\ue001\n"
                "Partir : \ue000unsubscribe_url|x\ue001\n",
                web="",
                audience_rule="weekly",
                picks=[],
                pictures=[],
                created_at=now,
            )
        )
        place = 0
        for domain, count in (domains or {"lecteurs.example": readers}).items():
            fill(connection, count, domain=domain, start=place)
            place += count
        run_id = connection.execute(
            insert(schema.run).values(
                issue_id="2026-05-07", kind="issue", slot_at=now, state="due", created_at=now
            )
        ).inserted_primary_key[0]
        ledger.start_run(
            connection,
            run_id,
            digest=DIGEST,
            select_audience=select(schema.subscriber.c.id).where(
                schema.subscriber.c.state == "active"
            ),
            now=now,
        )
    return run_id


def claim_as(engine, run_id: int, owner: str, now: datetime) -> None:
    """Take the run as *owner*, whoever holds it, and be sending to its next reader."""
    with database.write(engine) as connection:
        lease = ledger.claim_lease(
            connection, run_id, owner, now=now, until=now, is_dead=lambda _: True
        )
        (row,) = waiting.pick(connection, run_id, after=-1, size=1)
        intents = {row.subscriber_id: row.address}
        windows.commit_window(connection, lease, results=(), intents=intents, now=now)


def states_of(engine, run_id: int) -> dict[str, str]:
    """Address → state of every reader of the run."""
    with database.read(engine) as connection:
        return {
            standing.address: standing.state for standing in breakdown.readers(connection, run_id)
        }


def judge(engine, run_id, sink, count: int) -> None:
    """Compare the ledger with the relay's record: nobody twice, nobody lost track of."""
    taken = Counter(accepted.recipient for accepted in sink.accepted())
    assert max(taken.values()) == 1
    by_address = states_of(engine, run_id)
    assert len(by_address) == count
    for address, state in by_address.items():
        assert state in {"sent", "unknown"}
        assert address in taken or state == "unknown"


@contextmanager
def once_accepted(sink, count, act, *, of=""):
    """Do *act* on a thread once the sink has taken *count* messages; it answers no more till then.

    However late the thread comes, the run is then where the test wants it.
    """
    over = threading.Event()
    sink.manners.rules.append(Rule("accepted", "hold", of, skip=count - 1))

    def watch():
        while sum(of in a.recipient for a in sink.accepted()) < count and not over.wait(0.005):
            pass
        act()
        sink.manners.release.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
