"""What the engine remembers, in SQLite or PostgreSQL, through SQLAlchemy Core.

Every function of this package takes an open ``Connection`` first: the caller owns the transaction
(``database.write`` or ``database.read``), so that one verb is one commit.
"""
