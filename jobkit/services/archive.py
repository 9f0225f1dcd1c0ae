"""Keep the history of executions in a database, for longer than Redis does; needs SQLAlchemy.

SQLite and PostgreSQL are tested.  Any number of workers may archive at once: an execution has one place, and one row.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

from jobkit.errors import ArchiveError, InvalidOption
from jobkit.model import Execution
from jobkit.states import Outcome, State
from jobkit.store import JobStore, history

log = logging.getLogger("jobkit")

#: Seconds between two rounds of one worker.
PAUSE = 5.0
_TIMES = ("queued_at", "started_at", "ended_at")
_TEXTS = ("definition", "job_id", "task", "source", "agent")


class Archive:
    """The executions of one namespace in the table ``jobkit_executions`` of a database.

    Parameters: `url`, as SQLAlchemy takes it.  Nothing is connected before it is needed; the table is made where it is
    missing.  Raises: `InvalidOption` for a URL that is none, `ArchiveError` where the database does not do as told.
    """

    def __init__(self, url: str, namespace: str) -> None:
        self._url, self._namespace, self._next = url, namespace, 0.0

    @cached_property
    def _sql(self) -> Any:
        try:
            import sqlalchemy
        except ImportError as exc:
            allowed = "needs SQLAlchemy: pip install 'celery-jobkit[archive]'"
            raise InvalidOption(option="jobkit_archive_backend", value="…", allowed=allowed) from exc
        return sqlalchemy

    @cached_property
    def _engine(self) -> Any:
        sql = self._sql
        try:
            return sql.create_engine(self._url, pool_pre_ping=True)
        except (sql.exc.ArgumentError, ImportError) as exc:
            # Not the URL itself: it may have a password.
            raise InvalidOption(option="jobkit_archive_backend", value="…", allowed=str(exc)) from exc

    @cached_property
    def _table(self) -> Any:
        sql = self._sql
        column, meta = sql.Column, sql.MetaData()
        table = sql.Table(
            "jobkit_executions", meta,
            column("namespace", sql.String(128), primary_key=True),
            column("ms", sql.BigInteger, primary_key=True, autoincrement=False),
            column("number", sql.Integer, primary_key=True, autoincrement=False),
            *(column(name, sql.String(255), nullable=False) for name in _TEXTS),
            column("run", sql.Integer, nullable=False),
            *(column(name, sql.BigInteger) for name in _TIMES),
            column("state", sql.String(32), nullable=False),
            column("outcome", sql.String(32)),
            column("message", sql.Text, nullable=False),
            sql.Index("jobkit_executions_of", "namespace", "definition", "ms"),
        )  # fmt: skip
        meta.create_all(self._engine, checkfirst=True)
        return table

    def run_once(self, store: JobStore) -> int:
        """One round: write what the archive does not have yet; returns how many executions that were."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + PAUSE * random.uniform(0.5, 1.5)  # noqa: S311  jitter, not a secret
        return self.drain(store)

    def drain(self, store: JobStore) -> int:
        """Write everything the archive does not have yet."""
        written, last = 0, self._last()
        while found := history.behind(store, last):
            self._write(found)
            written, last = written + len(found), found[-1].place
        return written

    def read(
        self, definition: str = "", result: Outcome | None = None, since: datetime | None = None, limit: int = 50
    ) -> list[Execution]:
        """Executions, newest first."""
        table = self._call(lambda: self._table)
        wanted = self._sql.select(table).where(table.c.namespace == self._namespace)
        if definition:
            wanted = wanted.where(table.c.definition == definition)
        if result:
            wanted = wanted.where(table.c.outcome == result.value)
        if since:
            wanted = wanted.where(table.c.ended_at >= _ms(since))
        wanted = wanted.order_by(table.c.ms.desc(), table.c.number.desc()).limit(limit)
        return [_execution(row) for row in self._rows(wanted)]

    def close(self) -> None:
        """Let go of the database."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    def _last(self) -> str:
        table = self._call(lambda: self._table)
        wanted = self._sql.select(table.c.ms, table.c.number).where(table.c.namespace == self._namespace)
        rows = list(self._rows(wanted.order_by(table.c.ms.desc(), table.c.number.desc()).limit(1)))
        return f"{rows[0].ms}-{rows[0].number}" if rows else ""

    def _write(self, found: list[Execution]) -> None:
        insert = self._insert
        rows = [_row(self._namespace, one) for one in found]

        def write() -> None:
            with self._engine.begin() as connection:
                connection.execute(insert, rows)

        self._call(write)

    @cached_property
    def _insert(self) -> Any:
        name = self._engine.dialect.name
        if name == "sqlite":
            from sqlalchemy.dialects.sqlite import insert as of_sqlite

            return of_sqlite(self._table).on_conflict_do_nothing()
        if name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert as of_postgresql

            return of_postgresql(self._table).on_conflict_do_nothing()
        raise InvalidOption(
            option="jobkit_archive_backend", value=name, allowed="must be a URL of SQLite or PostgreSQL"
        )

    def _rows(self, statement: Any) -> Iterator[Any]:
        def ask() -> Any:
            with self._engine.connect() as connection:
                return connection.execute(statement).all()

        return iter(self._call(ask))

    def _call(self, what: Any) -> Any:
        try:
            return what()
        except self._sql.exc.SQLAlchemyError as exc:
            raise ArchiveError(reason=str(exc).partition("\n")[0]) from exc


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _row(namespace: str, one: Execution) -> dict[str, Any]:
    at, number = one.place.split("-")
    row = {item.name: getattr(one, item.name) for item in fields(one) if item.name != "place"}
    row |= {name: _ms(row[name]) for name in _TIMES} | {name: row[name][:255] for name in _TEXTS}
    row |= {"state": one.state.value, "outcome": one.outcome.value if one.outcome else None}
    return {"namespace": namespace, "ms": int(at), "number": int(number), **row}


def _execution(row: Any) -> Execution:
    found: dict[str, Any] = {
        item.name: getattr(row, item.name, None) for item in fields(Execution) if item.name != "place"
    }
    for name in _TIMES:
        at = found[name]
        found[name] = None if at is None else datetime.fromtimestamp(at / 1000, timezone.utc)
    outcome = Outcome(row.outcome) if row.outcome else None
    return Execution(**{**found, "place": f"{row.ms}-{row.number}", "state": State(row.state), "outcome": outcome})
