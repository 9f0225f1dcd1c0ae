"""`JobKit(app)`: the one line that turns a Celery app into a jobkit app."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sized
from contextlib import nullcontext
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from celery import states as celery_states
from celery.canvas import Signature
from kombu import pools
from kombu.utils.functional import maybe_list
from kombu.utils.url import maybe_sanitize_url

from jobkit import config, priorities
from jobkit.aio import AsyncClient
from jobkit.client import Client
from jobkit.errors import InvalidOption, UnsafeStore
from jobkit.ext import amqp, declaring, identity, messages, settling
from jobkit.ext.backend import Recording
from jobkit.ext.bulk import Bulk
from jobkit.ext.coalescing import Coalescing
from jobkit.ext.definitions import Definitions
from jobkit.ext.ids import uuid7
from jobkit.ext.install import backend_class, install
from jobkit.ext.ranking import Ranking
from jobkit.ext.repeating import Repeating
from jobkit.ext.urls import store_url
from jobkit.locks import Lock, checked
from jobkit.states import Outcome
from jobkit.store import JobStore, Limits, Verdict, durability, health, history
from jobkit.store.durability import Durability
from jobkit.times import start
from jobkit.waiting import Progress, teller

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger("jobkit")

#: Seconds a worker waits for Redis before a claim or an end gives up.
WORKER_PATIENCE = 60.0
#: Milliseconds of an app whose results never expire (`result_expires` of None or 0): ten years.
FOREVER = 315_360_000_000


class JobKit(Client, AsyncClient, Coalescing):
    """Every task of this app is a job from here on.

    Parameters: the Celery `app`; any of `jobkit.config.Settings` by name, which win over the app's ``jobkit_…``
    configuration.  Nothing is read or connected before it is needed.
    Raises: `InvalidOption` for an app that has one, ``app.jobkit``, and at the first use of the settings.
    """

    def __init__(self, app: Celery, **options: Any) -> None:
        if hasattr(app, "jobkit"):
            raise InvalidOption(option="app", value=app, allowed="must not have a JobKit yet; this one's is app.jobkit")
        self.app, self._options = app, options
        #: What `define` was told, by id.
        self.declared: dict[str, dict[str, Any]] = {}
        #: How many messages this process has reserved at best besides those that it can run at once.
        self.spare = 0
        #: Does the main process of this worker run the bodies itself (solo)?
        self.inline = False
        install(self)

    @cached_property
    def settings(self) -> config.Settings:
        """The checked settings."""
        return config.read(self.app.conf, self._options)

    @cached_property
    def store(self) -> JobStore:  # type: ignore[override]  # Client takes it as an argument
        """The namespace of this app in its Redis."""
        # Celery's own defaults wait two minutes; what the app itself says is kept.
        own = self.app.conf.maps[:-1]
        limits = {"socket_connect_timeout": 3.0, "socket_timeout": 10.0}
        unsaid = {name: limit for name, limit in limits.items() if not any(f"redis_{name}" in level for level in own)}
        return self._open(unsaid, WORKER_PATIENCE if identity.in_worker() else self.settings.patience)

    def pulse(self) -> JobStore:
        """The same for a worker's proof of life, on a connection of its own that gives up soon."""
        soon = min(3.0, self.settings.renew)
        return self._open({"socket_connect_timeout": soon, "socket_timeout": soon}, 0.0)

    @cached_property
    def hasty(self) -> JobStore:
        """The same for a worker's main loop: where Redis is away nothing waits for it there."""
        return self.pulse()

    def _open(self, limits: dict[str, float], patience: float) -> JobStore:
        url = store_url(self)
        backend = backend_class(url)(app=self.app, url=url)
        client = backend._create_client(**{**backend.connparams, **limits})
        return JobStore(
            client,
            self.settings.namespace,
            url=maybe_sanitize_url(url),
            patience=patience,
            limits=self.limits(),
            durability=Durability(self.settings.durability, self.settings.strict_claims),
        )

    @cached_property
    def definitions(self) -> Definitions:
        """The definitions of this app: stored, named recipes that are queued by id, many times."""
        return Definitions(self)

    def define(self, id: str, *, task: Any, **fields: Any) -> None:
        """Declare a definition in code, as `definitions.create` takes it; nothing is connected here.

        Every worker and beat writes it when it starts, if there is none of that id and never was.  What the code says
        otherwise than before is then changed in the stored one, but for the fields an operator has changed meanwhile.
        """
        self.declared[id] = {"task": task, **fields}

    # -- sending -----------------------------------------------------------------------------------------------

    def submit(
        self,
        signature: Any,
        *,
        owner: str = "",
        tags: Iterable[str] = (),
        start_at: datetime | float | None = None,
        after: Any = None,
        job_id: str | None = None,
        suspended: bool = False,
        locks: Iterable[str | Lock] = (),
        host: str = "",
        priority: str | int | None = None,
        keep: float | None = None,
        keep_until_read: bool = False,
    ) -> Any:
        """Submit a task or a signature; every job a canvas sends at once gets the owner, the tags, and how it is kept.

        Parameters: `owner`, who it is for; `tags`, words to find it by; `start_at`, an aware datetime or seconds from
        now; `after`, a job (or its id) that has to end first; `job_id`, instead of a new one: an id that waits is
        replaced, one that runs is run once more after it; `suspended`, to wait for `resume` or `change_start_time`;
        `locks`, names (or `Lock`, `Semaphore`, `Rate`) it has to hold from before it is queued until it ends, all or
        none, first come first served, besides those of its task's policy; `host`, what it works on: while that is away
        (`jobs.hosts`), the job waits; `priority`, "high", "short", "normal", "long", or 0 (first) to 9, instead of what
        its expected run time makes it (needs ``jobkit_priorities``); `keep`, seconds its record stays once it has
        ended, instead of what its task or the settings say; `keep_until_read`, to count them from when it is first
        read, for which it is kept a day.
        Returns: a `JobResult`.  Raises: `InvalidOption`, `PayloadError`, `StoreError`, `JobUnknown` (predecessor).
        """
        wish = amqp.Wish(
            owner=_word("owner", owner),
            tags=tuple(dict.fromkeys(_word("tags", tag) for tag in _tags(tags))),
            after=str(getattr(after, "id", after) or ""),
            start=None if start_at is None else start("start_at", start_at),
            suspended=suspended,
            locks=checked("locks", locks),
            host=_word("host", host),
            priority=self._priority(priority),
            keep=None if keep is None else int(config.seconds("keep", keep) * 1000),
            until_read=keep_until_read,
        )
        single = not isinstance(signature, Signature) or "task_id" not in (signature.get("options") or {})
        options = {"task_id": job_id or uuid7()} if single and not _is_canvas(signature) else {}
        if _is_canvas(signature) and (
            wish.after or wish.start is not None or job_id or suspended or wish.locks or host
        ):
            raise InvalidOption(
                option="submit", value=type(signature).__name__, allowed="a canvas takes only owner, tags and keep"
            )
        with amqp.wishing(wish), amqp.together(self.store) if _is_canvas(signature) else nullcontext():
            return signature.apply_async(**options)

    def submit_many(
        self, signatures: Iterable[Any], *, progress: Progress = False, again: bool = False, **options: Any
    ) -> list[Any]:
        """Submit thousands, all with the same options of `submit`: a few hundred with each call to Redis.

        Parameters: `progress` is called with how many were accepted, of how many (of those known so far, where
        `signatures` has no length); True shows that on a terminal.  `again`, the ids that are there already were
        accepted before: to go on with what `NotAllSubmitted` had left.
        Returns: a `JobResult` for each, in their order; `wait_many` waits for them.
        Raises: as `submit`, at the first that is not accepted; `NotAllSubmitted` if others were, or may have been.
        """
        tell, total = teller("submitted", progress), len(signatures) if isinstance(signatures, Sized) else 0
        submit = partial(self.submit, **options)
        return Bulk(self, submit, again, lambda done: tell(done, max(total, done))).run(signatures)

    @cached_property
    def repeating(self) -> Repeating:
        """What `delay()` has sent before."""
        return Repeating(self)

    @cached_property
    def ranking(self) -> Ranking:
        """Which of the jobs that are sent go first."""
        return Ranking(self)

    def _priority(self, value: str | int | None) -> int | None:
        if value is not None and not self.settings.priorities:
            raise InvalidOption(option="priority", value=value, allowed="needs jobkit_priorities=True")
        return None if value is None else priorities.checked(value)

    def publish(self, verdict: Verdict) -> None:
        """Publish what a verb left to be published; what fails here, a worker's keeper publishes."""
        sent = []
        for job_id, run, message in verdict.publish:
            try:
                messages.publish(self.app, message, run)
            except Exception:
                log.exception("job %s is queued, but its message could not be published: a keeper will", job_id)
            else:
                sent.append(job_id)
        self.store.published(sent)
        for job_id in verdict.settle:
            try:
                settling.settle(self, job_id)
            except Exception:
                log.exception("the family of job %s could not be looked at: a keeper will", job_id)

    # -- for the seam ------------------------------------------------------------------------------------------

    def keep(self, task: Any, outcome: Outcome) -> int:
        """Milliseconds an ended job is kept: what its task says, else the settings, else the app's `result_expires`.

        Raises: `InvalidOption` for a `retention` of the task that is none.
        """
        own = getattr(task, "retention", None)
        if own is not None and not config.is_retention(own):
            raise InvalidOption(option="retention", value=own, allowed=f"must be {config.RETENTION}")
        for said in (own, self.settings.retention):
            seconds = said.get(outcome) if isinstance(said, Mapping) else said
            if seconds is not None:
                return int(seconds * 1000)
        return self._expires_of_results[outcome is Outcome.FAILED]

    @cached_property
    def _expires_of_results(self) -> tuple[int, int]:
        """What the app itself says of results, and of those of failures, ms: only what it says explicitly."""
        conf = self.app.conf
        usual = _milliseconds(conf.result_expires) if self._says("result_expires") else 300_000
        return usual, _milliseconds(conf.result_failure_expires) if self._says("result_failure_expires") else usual

    def _says(self, option: str) -> bool:
        return any(option in level for level in self.app.conf.maps[:-1])

    def limits(self) -> Limits:
        """What there is room for; an app that says itself how long results are kept has them kept, however many."""
        settings = self.settings
        said = settings.retention is None and self._says("result_expires")
        jobs = (0 if said else 4096) if settings.retention_jobs is None else settings.retention_jobs
        return Limits(
            jobs or None,
            int(settings.retention_least * 1000),
            settings.retention_bytes or None,
            settings.gone_jobs,
            int(settings.gone_retention * 1000),
            settings.pins,
        )

    def prepare(self) -> None:
        """Check what can only be checked with a connection; a worker does it when it starts."""
        durability.check(self.store)
        self.store.check_schema()
        try:
            for finding in health.at_start(self.store):
                log.warning("Redis: %s: %s. %s", finding.what, finding.found, finding.do)
        except UnsafeStore as exc:
            if not self.settings.allow_eviction:
                raise
            log.error("%s", exc)
        history.keep(self.store, self.settings.history_days * 86_400, self.settings.history_bytes)
        declaring.reconcile(self)

    def close(self) -> None:
        """Close the connections this process has open for the app; what is used after that opens its own."""
        backend = getattr(self.app._local, "backend", None)
        if isinstance(backend, Recording):
            backend.result_consumer.stop()
            backend.client.connection_pool.disconnect()
        if "store" in self.__dict__:
            self.store.client.connection_pool.disconnect()
        broker = self.app.connection_for_write()
        for group in (pools.producers, pools.connections):
            pool = group.pop(broker, None)
            if pool is not None:
                pool.force_close_all()
        self.app.close()

    # -- for the client ----------------------------------------------------------------------------------------

    def _decode(self, meta: bytes) -> tuple[Any, str]:
        found = self.app.backend.decode_result(meta) if hasattr(self.app.backend, "decode_result") else {}
        failed = found.get("status") in celery_states.EXCEPTION_STATES
        return (None if failed else found.get("result")), found.get("status", "")

    @property
    def _by(self) -> str:  # type: ignore[override]  # asked anew: a process becomes a worker only later
        return identity.name()


def _milliseconds(expires: Any) -> int:
    seconds = getattr(expires, "total_seconds", lambda: expires)()
    return int(seconds * 1000) if seconds else FOREVER


def _is_canvas(signature: Any) -> bool:
    return isinstance(signature, Signature) and bool(signature.get("subtask_type"))


def _tags(tags: Iterable[str]) -> list[str]:
    return maybe_list(tags) or []


def _word(option: str, value: str) -> str:
    if not isinstance(value, str) or len(value) > 128 or any(ord(char) < 32 for char in value):
        raise InvalidOption(option=option, value=value, allowed="must be printable text, at most 128 characters")
    return value
