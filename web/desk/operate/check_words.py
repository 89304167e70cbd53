"""What a check of /readyz says, in the operator's language, and what to do about it.

The check itself speaks English, for monitors and the log (web/ops/health.py). A test holds that each of its texts is known here.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from web.desk.known_texts import marked, patterns_of

#: With a name where a value stands; `%(why)s` is another of these texts.
_SAID = (
    marked("failed: %(why)s"),
    # PostgreSQL that is read, and takes no writes
    marked("read only"),
    marked("disk full"),
    marked("permission denied"),
    marked("out of resources"),
    marked("a limit of its settings is used up, most likely temp_file_limit"),
    marked("input/output error"),
    marked("a table that messages are written to is locked; pg_locks and pg_stat_activity say by whom"),
    marked("no connection left; processes take turns. Lower DB_POOL_SIZE, run fewer processes, or raise max_connections"),
    marked(
        "the database's schema is newer than this code, it has %(name)s and %(number)s more; run the release that migrated it",
    ),
    marked("the database's schema is newer than this code, it has %(name)s; run the release that migrated it"),
    marked("the database's schema is older than this code, it lacks %(name)s and %(number)s more; run scripts/migrate"),
    marked("the database's schema is older than this code, it lacks %(name)s; run scripts/migrate"),
    # PostgreSQL that is away; "cannot be reached" and more are Redis's words, too
    marked("connection lost"),
    marked("refuses the connection"),
    marked("TLS failed"),
    marked("a setting was refused (DATABASE_URL's options, PGOPTIONS, PGTZ or PGDATESTYLE)"),
    marked("no such database"),
    marked("out of memory"),
    marked("statement too slow"),
    marked("shutting down"),
    marked("crashed"),
    marked("starting up or shutting down"),
    marked("connection idle for too long"),
    marked("idle in a transaction for too long"),
    marked("transaction too long"),
    marked("a prepared statement is out of date"),
    marked("a prepared statement was lost"),
    marked("a prepared statement is there twice"),
    marked("an index is corrupted"),
    # Redis
    marked("full"),
    marked("starting up"),
    marked("credentials refused"),
    marked("not permitted"),
    marked("its primary is away"),
    marked("a cluster; take one that is none"),
    marked("no answer in time"),
    marked("cannot be reached"),
    marked("too many connections"),
    marked("a quota of its provider is used up"),
    marked("DNS did not answer"),
    marked("DNS knows no address for it"),
    marked("cannot save to its disk"),
    marked("too few replicas"),
    marked("has no database of this number"),
    marked("in protected mode"),
    marked("busy with a script"),
    marked("turned into a replica"),
    marked("knows only the protocol RESP2; add the option protocol=2 to its URL"),
    marked("older than 6.2, or a command is disabled"),
    # what is kept, and who works
    marked("takes no files; this process's log says why"),
    marked("CREDENTIALS_KEY does not open stored secrets; this process's log says which"),
    marked("never ran; start the process type maintenance"),
    marked("last ended %(number)s s ago, at most %(most)s s are expected; is maintenance running?"),
    marked("its jobs last ran %(number)s s ago, some are due each minute; start the process type scheduler"),
    marked("nobody takes jobs of %(queues)s"),
    marked(
        "workers of another database use this Redis and take jobs of this one; give each system a REDIS_NAMESPACE of its own,"
        " and restart workers whose database was moved; this process's log says which"
    ),
    marked(
        "workers of an earlier release run, and scripts/migrate --post has removed what they need: jobs that they take wait;"
        " replace them; this process's log says which"
    ),
)
_FOR, _NEVER = marked("%(queue)s: for %(number)s s"), marked("%(queue)s: never")

#: What to do where a check fails. What is said may say it already.
_REMEDIES: Mapping[str, LazyString] = {
    "postgres": _l("Look at PostgreSQL: its disk, its log, and whether DATABASE_URL leads to the primary."),
    "redis": _l("Look whether Redis runs and can be reached, at its memory and its log. Afterwards nothing has to be repaired."),
    "storage": _l("Look at the disk and the rights of the folder, or at the bucket and its key."),
    "credentials": _l("Put the earlier key behind the new one, CREDENTIALS_KEY=new,old, and restart all processes."),
    "sweep": _l("Start the process type maintenance; if it runs, look at its log."),
    "workers": _l("Start the process types in brackets; of one that runs, look at the log."),
}
#: The same for what Redis says.
_OF_REDIS: Mapping[str, LazyString] = {
    "full": _l("Give Redis more memory (maxmemory), or find out what else fills it."),
    "read only": _l("REDIS_URL leads to a replica: let it lead to the primary."),
    "turned into a replica": _l("REDIS_URL leads to a replica: let it lead to the primary."),
    "credentials refused": _l("Correct the user and the password in REDIS_URL, and restart every process."),
    "cannot save to its disk": _l("Make room on the disk of Redis."),
}


def check_words(said: str) -> str:
    """What a check says; what is unknown stays as it is."""
    for pattern, known in patterns_of(_SAID):
        if match := pattern.fullmatch(said):
            values = match.groupdict()
            if "why" in values:
                values["why"] = check_words(values["why"])
            if "queues" in values:
                values["queues"] = "; ".join(map(_silent, values["queues"].split("; ")))
            return str(gettext(known, **values))
    return said


def _silent(queue: str) -> str:
    """A queue, and for how long nobody has taken from it."""
    for pattern, known in patterns_of((_FOR, _NEVER)):
        if match := pattern.fullmatch(queue):
            return str(gettext(known, **match.groupdict()))
    return queue


def remedy(check: str, said: str = "") -> str:
    """What to do about it; "" where that is said."""
    if said.startswith("workers of "):
        return ""
    special = _OF_REDIS.get(said.removeprefix("failed: ")) if check == "redis" else None
    return str(special or _REMEDIES.get(check, ""))
