"""`JobKit(app)`: the one line that turns a Celery app into a jobkit app."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery import states as celery_states
from celery.canvas import Signature
from kombu import pools
from kombu.utils.functional import maybe_list
from kombu.utils.objects import cached_property
from kombu.utils.url import maybe_sanitize_url

from jobkit import config
from jobkit.aio import AsyncClient
from jobkit.client import Client
from jobkit.errors import InvalidOption
from jobkit.ext import amqp, declaring, identity, messages
from jobkit.ext.backend import Recording
from jobkit.ext.coalescing import Coalescing
from jobkit.ext.definitions import Definitions
from jobkit.ext.ids import uuid7
from jobkit.ext.install import backend_class, install, store_url
from jobkit.locks import Lock, checked
from jobkit.store import JobStore, Verdict, history
from jobkit.times import milliseconds

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger("jobkit")

#: Seconds a worker waits for Redis before a claim or an end gives up.
WORKER_PATIENCE = 60.0


class JobKit(Client, AsyncClient, Coalescing):
    """Every task of this app is a job from here on.

    Parameters: the Celery `app`; any of `jobkit.config.Settings` by name, which win over the app's ``jobkit_…``
    configuration.  Nothing is read or connected before it is needed.
    Raises: `InvalidOption`, at the first use of the settings.
    """

    def __init__(self, app: Celery, **options: Any) -> None:
        self.app, self._options = app, options
        #: What `define` was told, by id.
        self.declared: dict[str, dict[str, Any]] = {}
        install(self)

    @cached_property
    def settings(self) -> config.Settings:
        """The checked settings."""
        return config.read(self.app.conf, self._options)

    @cached_property
    def store(self) -> JobStore:  # Client takes it as an argument
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

    def _open(self, limits: dict[str, float], patience: float) -> JobStore:
        url = store_url(self)
        backend = backend_class(url)(app=self.app, url=url)
        client = backend._create_client(**{**backend.connparams, **limits})
        return JobStore(client, self.settings.namespace, url=maybe_sanitize_url(url), patience=patience)

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
    ) -> Any:
        """Submit a task or a signature; every job a canvas sends at once gets the owner and the tags.

        Parameters: `owner`, who it is for; `tags`, words to find it by; `start_at`, an aware datetime or seconds from
        now; `after`, a job (or its id) that has to end first; `job_id`, instead of a new one: an id that waits is
        replaced, one that runs is run once more after it; `suspended`, to wait for `resume` or `change_start_time`;
        `locks`, names (or `Lock`, `Semaphore`, `Rate`) it has to hold from before it is queued until it ends, all or
        none, first come first served, besides those of its task's policy; `host`, what it works on: while that is away
        (`jobs.hosts`), the job waits.
        Returns: a `JobResult`.  Raises: `InvalidOption`, `PayloadError`, `StoreError`, `JobUnknown` (predecessor).
        """
        wish = amqp.Wish(
            owner=_word("owner", owner),
            tags=tuple(dict.fromkeys(_word("tags", tag) for tag in _tags(tags))),
            after=str(getattr(after, "id", after) or ""),
            start=None if start_at is None else milliseconds("start_at", start_at),
            suspended=suspended,
            locks=checked("locks", locks),
            host=_word("host", host),
        )
        single = not isinstance(signature, Signature) or "task_id" not in (signature.get("options") or {})
        options = {"task_id": job_id or uuid7()} if single and not _is_canvas(signature) else {}
        if _is_canvas(signature) and (
            wish.after or wish.start is not None or job_id or suspended or wish.locks or host
        ):
            raise InvalidOption(
                option="submit", value=type(signature).__name__, allowed="a canvas takes only owner and tags"
            )
        with amqp.wishing(wish):
            return signature.apply_async(**options)

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

    # -- for the seam ------------------------------------------------------------------------------------------

    def keep(self, state: str) -> int:
        """Milliseconds an ended job is kept: ours, unless the app says explicitly how long results are."""
        conf, settings = self.app.conf, self.settings
        if settings.retention is not None:
            return int(settings.retention * 1000)
        explicit = any("result_expires" in level for level in conf.maps[:-1])
        if not explicit or conf.result_expires is None:
            return 300_000
        seconds = getattr(conf.result_expires, "total_seconds", lambda: conf.result_expires)()
        return int(seconds * 1000)

    def prepare(self) -> None:
        """Check what can only be checked with a connection; a worker does it when it starts."""
        self.store.check_schema()
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


def _is_canvas(signature: Any) -> bool:
    return isinstance(signature, Signature) and bool(signature.get("subtask_type"))


def _tags(tags: Iterable[str]) -> list[str]:
    return maybe_list(tags) or []


def _word(option: str, value: str) -> str:
    if not isinstance(value, str) or len(value) > 128 or any(ord(char) < 32 for char in value):
        raise InvalidOption(option=option, value=value, allowed="must be printable text, at most 128 characters")
    return value
