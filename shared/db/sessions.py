"""The sessions of a process: at most DB_POOL_SIZE, handed out in turn, closed when they are not needed or not wanted.

Peewee's own pool connects and pings under a lock that every thread needs, so one silent server stops those as well whose
connections are good; and it keeps for ever what it has opened once, so that where connections are few, the stages that came
first keep them from those that come later.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from math import inf

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from shared.db.outage import TOO_MANY, PoolerIsFull, outage, service_down, word_for
from shared.db.session import Limits, Session
from shared.errors import ServiceDown

#: Seconds after its last use for which a session is not pinged: the next statement notices a server that went away.
TRUSTED_FOR = 1.0
#: Seconds that a ping may take.
PING_PATIENCE = 2.0
#: Seconds without use after which a session is closed: one of several, and the last one.
SURPLUS_IDLE, LAST_IDLE = 5.0, 30.0
#: Seconds between looks at how many connections PostgreSQL has left, and for which it counts as crowded if there were none.
SURVEY_EVERY, CROWDED_FOR = 5.0, 10.0
#: The same for a pooler that is full: nobody can ask it how much it has left, and who tries waits until a statement is overdue.
#: So it is tried seldom, and for CAREFUL_FOR after that by one thread alone.
POOLER_CROWDED_FOR, CAREFUL_FOR = 60.0, 600.0
#: In a crowd: seconds after which a session is given up although it is needed, and for which its process then asks for none.
TURN, PAUSE = 2.0, (0.2, 0.8)
#: Seconds until a refused connection is asked for again.
REFUSED_PAUSE = (0.1, 0.5)


class Sessions:
    """Who takes a session gets one in the order of asking; who has one gives it back.

    In a crowd (PostgreSQL has no connection left) a process makes do with one session, and gives that one up every TURN
    seconds, so that every process has one now and then.
    """

    def __init__(self, open_one: Callable[[], Session], free: Callable[[Session], int], size: int, limits: Limits) -> None:
        self._open_one, self._free, self._size, self._limits = open_one, free, size, limits
        self._changed = threading.Condition()
        self._idle: list[Session] = []  # the one that was used last is last, and is used next
        self._queue: list[object] = []  # who waits, the first in turn first
        #: Sessions that are idle, in use, or being opened.
        self._count = 0
        #: Sessions that were opened before this were opened to a server that is not there any more.
        self._trusted_from = 0.0
        self._may_open_at = self._surveyed_at = self._crowded_until = self._careful_until = 0.0
        #: Sessions that are being opened.
        self._opening = 0

    @property
    def is_crowded(self) -> bool:
        """Whether PostgreSQL had no connection left a moment ago."""
        return time.monotonic() < self._crowded_until

    def take(self) -> Session:
        """A session that works, as far as is known; the caller gives it back. Raises ServiceDown, psycopg2.Error."""
        ticket, deadline = object(), time.monotonic() + self._limits.turn
        refused: psycopg2.Error | None = None
        came_before = False
        while True:
            session = self._await_turn(ticket, came_before, deadline, refused)
            came_before = True
            if session is None:
                try:
                    return self._open()
                except psycopg2.Error as problem:
                    if word_for(problem) != TOO_MANY:
                        raise
                    refused = problem
                    outage.noticed(problem)
            elif self._works(session):
                return session
            else:
                self._close(session)

    def give_back(self, session: Session) -> None:
        """Keeps the session for the next one, unless there is a reason not to."""
        now = time.monotonic()
        if session.unusable:
            self._trusted_from = now
        is_clean = not session.has_ended() and session.get_transaction_status() == TRANSACTION_STATUS_IDLE
        if is_clean and now > self._surveyed_at + SURVEY_EVERY:
            is_clean = self._survey(session)
        turn_is_over = self.is_crowded and now > session.opened + TURN
        if not is_clean or turn_is_over or (self.is_crowded and self._count > 1) or session.opened < self._trusted_from:
            self._close(session, random.uniform(*PAUSE) if turn_is_over else 0.0)
            return
        with self._changed:
            session.used = now
            self._idle.append(session)
            self._changed.notify_all()

    def tidy(self) -> None:
        """Closes what nobody has needed for a while, so that another process may have it."""
        now = time.monotonic()
        unused: list[Session] = []
        with self._changed:
            for session in list(self._idle):
                limit = TRUSTED_FOR if self.is_crowded else SURPLUS_IDLE if self._count - len(unused) > 1 else LAST_IDLE
                if now > session.used + limit:
                    self._idle.remove(session)
                    unused.append(session)
        for session in unused:
            self._close(session)

    def close_all(self) -> None:
        """Closes what is idle now, and what is in use as soon as it is given back."""
        with self._changed:
            self._trusted_from = inf
            idle, self._idle = self._idle, []
        for session in idle:
            self._close(session)

    def _await_turn(self, ticket: object, came_before: bool, deadline: float, refused: psycopg2.Error | None) -> Session | None:
        """An idle session, or None: then the caller may open one. Raises ServiceDown."""
        with self._changed:
            self._queue.insert(0 if came_before else len(self._queue), ticket)
            try:
                while True:
                    now = time.monotonic()
                    pause = self._may_open_at - now
                    if self._queue[0] is ticket:
                        if self._idle:
                            return self._idle.pop()
                        if pause <= 0 and self._may_open_one(now):
                            self._count += 1
                            self._opening += 1
                            return None
                    if now >= deadline:
                        raise service_down(refused) if refused else self._none_was_free()
                    self._changed.wait(min(deadline - now, pause) if pause > 0 else deadline - now)
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _may_open_one(self, now: float) -> bool:
        if now < self._careful_until and self._opening:
            return False
        return self._count < (1 if now < self._crowded_until else self._size)

    def _none_was_free(self) -> ServiceDown:
        return ServiceDown(f"none of DB_POOL_SIZE={self._size} connections was free for {self._limits.turn:.0f} s")

    def _open(self) -> Session:
        try:
            session = self._open_one()
        except BaseException as problem:
            with self._changed:
                self._count -= 1
                self._opening -= 1
                if isinstance(problem, psycopg2.Error) and word_for(problem) == TOO_MANY:
                    self._note_refusal(problem)
                self._changed.notify_all()
            raise
        with self._changed:
            self._opening -= 1
            self._changed.notify_all()
        self._survey(session)
        return session

    def _note_refusal(self, problem: psycopg2.Error) -> None:
        now = time.monotonic()
        self._may_open_at = now + random.uniform(*REFUSED_PAUSE)
        if isinstance(problem, PoolerIsFull):
            self._crowded_until, self._careful_until = now + POOLER_CROWDED_FOR, now + CAREFUL_FOR
        else:
            self._crowded_until = now + CROWDED_FOR

    def _works(self, session: Session) -> bool:
        if session.opened < self._trusted_from or session.has_ended():
            return False
        if time.monotonic() < session.used + TRUSTED_FOR or session.answers(PING_PATIENCE):
            return True
        self._trusted_from = time.monotonic()
        return False

    def _survey(self, session: Session) -> bool:
        """Looks whether PostgreSQL is crowded; False if that was the end of the session."""
        self._surveyed_at = time.monotonic()
        try:
            if self._free(session) <= 0:
                self._crowded_until = self._surveyed_at + CROWDED_FOR
        except psycopg2.Error as problem:
            outage.noticed(problem)
        return not session.has_ended()

    def _close(self, session: Session, pause: float = 0.0) -> None:
        session.close()
        with self._changed:
            self._count -= 1
            self._may_open_at = max(self._may_open_at, time.monotonic() + pause)
            self._changed.notify_all()
