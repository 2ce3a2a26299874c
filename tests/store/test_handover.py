"""What is handed to a statement arrives as it was."""

from __future__ import annotations

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from newsletter.store import database, handover

# No NUL: PostgreSQL keeps none, and replies lose theirs when they are read.
TEXTS = st.dictionaries(
    st.integers(0, 2**63 - 1),
    st.text(st.characters(exclude_characters="\0", codec="utf-8"))
    | st.sampled_from(["NULL", '\\"']),
)
ARRIVED = {
    "sqlite": "SELECT CAST(key AS INTEGER), value FROM json_each(:given)",
    "postgresql": "SELECT * FROM unnest(%(ids)s::bigint[], %(texts)s::text[])",
}


@given(texts=TEXTS)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_and_texts_arrive_as_they_were(engine, texts):
    with database.read(engine) as connection:
        values = handover.hand_over(connection, texts)
        rows = connection.exec_driver_sql(ARRIVED[engine.dialect.name], values).all()
    assert dict(map(tuple, rows)) == texts
