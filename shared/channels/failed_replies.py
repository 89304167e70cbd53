"""What a reply that could not be delivered leaves behind: the SQL of all stages that deliver replies (failed_replies.sql)."""

from __future__ import annotations

from shared.db import sql

queries = sql.load(__file__)
