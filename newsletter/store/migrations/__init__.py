"""Alembic's steps, oldest first; ``HEAD`` names the newest."""

HEAD = "0004"
