"""The result backend: the job's record is the result's record, so an end costs the round trip a result costs anyway."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from celery import states as celery_states
from celery.backends.redis import RedisBackend, ResultConsumer, SentinelBackend
from celery.exceptions import NotRegistered, Retry, TaskRevokedError
from kombu.utils.encoding import bytes_to_str

from jobkit.errors import Fenced, JobExpired, JobNotFound, JobUnknown
from jobkit.ext import ends, messages, restarts
from jobkit.running import find
from jobkit.states import ABOUT, State
from jobkit.store import End, Settled, queries

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit

#: What Celery's clients read as the state of a job whose record has gone.
EXPIRED = "EXPIRED"
#: What Celery may store that is the end of a run, or of its part before a retry.
_ENDS = celery_states.READY_STATES | {celery_states.RETRY}


class Consumer(ResultConsumer):
    """Waits for results; after a reconnect it reads the records, which Celery's own reader takes for plain keys."""

    def on_state_change(self, meta: dict[str, Any], message: Any) -> None:
        """Nobody waits for a job whose record has gone."""
        if "expired" in meta:
            raise meta["expired"]
        super().on_state_change(meta, message)

    def _reconnect_pubsub(self) -> None:
        super()._reconnect_pubsub()
        for key in list(self.subscribed_to):
            for meta in filter(None, self.backend.mget([key])):
                self.on_state_change(self._decode_result(meta), None)


if TYPE_CHECKING:
    from celery.backends.redis import RedisBackend as _Base
else:
    _Base = object


class Recording(_Base):
    """A result backend that records the ends of runs."""

    ResultConsumer = Consumer
    READY_STATES = celery_states.READY_STATES | {EXPIRED}
    app: Any

    @property
    def jobs(self) -> JobKit:
        """The app's `JobKit`."""
        return self.app.jobkit

    def on_task_call(self, producer: Any, task_id: str) -> dict[str, Any]:
        """Nothing: who waits subscribes when he begins to wait, and then looks."""
        return {}

    def get_key_for_task(self, task_id: Any, key: bytes = b"") -> bytes:
        """The record; also the channel its result is announced on."""
        if not task_id:
            raise ValueError(f"task_id must not be empty. Got {task_id} instead.")
        return self.jobs.store.keys.job(str(task_id)).encode()

    def remove_pending_result(self, result: Any) -> Any:
        """Nobody waits for it any more; most that are thrown away nobody has waited for."""
        consumer = self.result_consumer
        if any(self._pending_results) or consumer.subscribed_to or consumer._pending_unsubscribe:
            return super().remove_pending_result(result)
        return result

    # -- writing -----------------------------------------------------------------------------------------------

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = celery_states.SUCCESS,
    ) -> None:
        """A task ended well: recorded also where its result is ignored."""
        job = find(task_id)
        if job and job.stop_reason:
            return  # it was told to end: the claim around its tracer records how
        stored = store_result and not (request and request.ignore_result)
        if job and job.deferred:
            # Its children come first, and then whoever waits for it: see settling.
            job.ending = True
            self._end(task_id, result, state, None, request, self.payload(task_id, result, state, None, request))
            return
        self._begin_end(task_id, result, state, None, request, stored)
        super().mark_as_done(task_id, result, request=request, store_result=stored, state=state)

    def mark_as_failure(
        self, task_id: str, exc: Any, traceback: Any = None, request: Any = None, store_result: bool = True, **rest: Any
    ) -> None:
        """A task failed: recorded also where its result is ignored; or it runs again, if its policy has it so."""
        if isinstance(exc, NotRegistered) and not self._is_its_task(task_id, request):
            return ends.log.warning("a message that names job %s, but not its task, was dropped", task_id)
        if self._run_again(task_id, exc, traceback, request):
            return
        self._begin_end(task_id, exc, celery_states.FAILURE, traceback, request, store_result)
        super().mark_as_failure(task_id, exc, traceback, request, store_result, **rest)
        if not store_result:
            self._fail_what_follows(request, exc, traceback)

    def mark_as_revoked(
        self, task_id: str, reason: Any = "", request: Any = None, store_result: bool = True, **rest: Any
    ) -> None:
        """A task was revoked: recorded also where its result is ignored."""
        self._begin_end(task_id, reason, celery_states.REVOKED, None, request, store_result)
        super().mark_as_revoked(task_id, reason, request, store_result, **rest)
        self._fail_what_follows(request, TaskRevokedError(reason))

    def mark_as_retry(
        self, task_id: str, exc: Any, traceback: Any = None, request: Any = None, store_result: bool = True, **rest: Any
    ) -> None:
        """A task asked to be tried again: its run ends, its next one is kept already."""
        if isinstance(exc, Retry) and exc.exc is None:
            return  # a worker that goes down cut it off, and sends nothing: who takes its runs over decides
        self._begin_end(task_id, exc, celery_states.RETRY, traceback, request, store_result)
        super().mark_as_retry(task_id, exc, traceback, request, store_result, **rest)

    def _run_again(self, task_id: str, exc: Any, traceback: Any, request: Any) -> bool:
        job, task = find(task_id), self.app.tasks.get(getattr(request, "task", None))
        verbs, outcome, cause = ends.kind_of(exc)
        if task is None or _is_eager(request) or not (job or cause == "abort"):
            return False
        undo = bool(getattr(request, messages.UNDO_HEADER, None))
        policy = restarts.policy_of(task, self.jobs.settings.max_rescues, twice=undo)
        end = End(verbs, outcome, str(exc)[:500], ends.failure(exc, traceback))
        if (
            cause not in policy.restart_on
            or (so_far := restarts.so_far(self.jobs, task_id, job.restarts if job else "")) is None
        ):
            return False
        end = restarts.with_restart(end, policy, cause, so_far)
        if end.again is None:
            return False
        end = end._replace(meta=self.payload(task_id, exc, celery_states.RETRY, traceback, request))
        return ends.finish_run(self.jobs, task, task_id, ends.holder_of(task_id, request), end, end.note[:200])

    def _is_its_task(self, task_id: str, request: Any) -> bool:
        # Anybody may have written a message: what it names ends only where the record says the same.
        name = getattr(request, "name", None)
        try:
            return name is None or queries.fields(self.jobs.store, task_id, "task").get("task") == name
        except JobNotFound:
            return self.jobs.settings.unrecorded

    def payload(self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None) -> Any:
        """What Celery's clients read of a result."""
        meta = self._get_result_meta(self.encode_result(result, state), state, traceback, request)
        return self.encode({**meta, "task_id": bytes_to_str(task_id)})

    @cached_property
    def _extended(self) -> bool:
        return bool(self.app.conf.find_value_for_key("extended", "result"))

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any, **options: Any) -> Any:
        # Celery's own asks the configuration each time, which takes longer than all it does otherwise.
        if options or self._extended or state not in celery_states.READY_STATES:
            return super()._get_result_meta(result, state, traceback, request, **options)
        meta = {"status": state, "result": result, "traceback": traceback}
        done = datetime.now(self.app.timezone).isoformat()
        meta |= {"children": self.current_task_children(request), "date_done": done}
        for name, field in (("group_id", "group"), ("parent_id", "parent_id")):
            if value := getattr(request, field, None):
                meta[name] = value
        return meta

    def _begin_end(self, task_id: str, result: Any, state: str, traceback: Any, request: Any, stored: bool) -> None:
        if running := find(task_id):
            running.ending = True
        if not stored and not _is_eager(request):
            self._end(task_id, result, state, traceback, request, "")

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **rest: Any
    ) -> Any:
        """Store a result and its state: an end ends the run, STARTED is known by the claim, others are noted."""
        encoded = self.encode_result(result, state)
        if state == celery_states.STARTED or (_is_eager(request) and state not in celery_states.READY_STATES):
            return encoded
        payload = self.payload(task_id, result, state, traceback, request)
        if state in _ENDS and not self._is_a_note(task_id, request):
            self._end(task_id, result, state, traceback, request, payload)
        else:
            self._note(task_id, request, payload)
        if self.jobs.settings.celery_results:
            self._set_with_state(super().get_key_for_task(task_id), payload, state)
        return encoded

    def _is_a_note(self, task_id: str, request: Any) -> bool:
        # update_state(state="FAILURE") inside a body that goes on: nobody has said that the run ends.  But what comes
        # before it in the chain a task was replaced by may fail, in another thread, before that task has returned.
        running, from_afar = find(task_id), getattr(request, "called_directly", False) and request.id == task_id
        return running is not None and not running.ending and not from_afar

    def _note(self, task_id: str, request: Any, payload: Any) -> None:
        holder = ends.holder_of(task_id, request)
        try:
            self.jobs.store.write(task_id, holder, {"meta": payload}, announce=payload)
        except (Fenced, JobNotFound) as exc:
            ends.log.warning("the state a task gave itself was refused and dropped: %s", exc)

    def _end(self, task_id: str, result: Any, state: str, traceback: Any, request: Any, payload: Any) -> None:
        running, name = find(task_id), getattr(request, "task", None) or ""
        end, holder = ends.end_of(state, result, traceback, running, payload), ends.holder_of(task_id, request)
        if _is_eager(request):
            end = end._replace(born=(*ends.STARTED, *end.verbs))
        elif not running and name:
            end = end._replace(facts={"task": name})
        reason = str(end.note)[:200]
        done = ends.finish_run(self.jobs, self.app.tasks.get(name), task_id, holder, end, reason)
        if not done and state == celery_states.FAILURE and (task := self.app.tasks.get(self._replaced(task_id))):
            # Something in the canvas that goes on under its id has failed: what was to be sent for it will not be.
            end, holder = end._replace(verbs=("?enqueue", *end.verbs)), Settled(None, "", holder.worker)
            ends.finish_run(self.jobs, task, task_id, holder, end, reason)

    def _fail_what_follows(self, request: Any, exc: Any, traceback: Any = None) -> None:
        """A chain breaks off here: it may be what a task was replaced by, and of this end Celery tells nobody."""
        chain = getattr(request, "chain", None)
        for element in chain if isinstance(chain, list | tuple) else ():
            task_id = element.get("options", {}).get("task_id")
            if task_id and self.task_result_exists(task_id):
                self.mark_as_failure(task_id, exc, traceback)

    def _replaced(self, task_id: str) -> str:
        """The name of the task that was replaced by others, where there is one of that id."""
        try:
            found = queries.fields(self.jobs.store, task_id, "task", "note")
        except JobNotFound:
            return ""
        return found["task"] if (found["state"], found.get("note")) == (State.SUSPENDED, ends.GOES_ON) else ""

    # -- reading -----------------------------------------------------------------------------------------------

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        try:
            state, meta, worker, pid = self.jobs.store.read(task_id, "state", "meta", "worker", "pid")
        except JobExpired as exc:
            # Who had it forgotten sees what Celery shows him; but nobody is left to wait for it.
            deleted = exc.why == "deleted"
            status, shown = celery_states.PENDING if deleted else EXPIRED, None if deleted else exc
            return {"task_id": task_id, "status": status, "result": shown, "children": [], "expired": exc}
        except JobUnknown:
            return {"status": celery_states.PENDING, "result": None}
        if meta:
            return self.decode_result(meta)
        status = ABOUT[State(state.decode())].celery
        started = status == celery_states.STARTED and worker
        result = {"pid": int(pid or 0), "hostname": worker.decode().partition("|")[0]} if started else None
        return {"task_id": task_id, "status": status, "result": result, "traceback": None, "children": []}

    def mget(self, keys: list[bytes]) -> list[bytes | None]:
        """The results of many jobs; None where there is none yet.  Raises: `JobExpired` if one of them has gone."""
        store = self.jobs.store

        def read() -> list[Any]:
            with store.client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hmget(key, ["state", "meta"])
                return pipe.execute()

        found, prefix = store.call(read), len(store.keys.job(""))
        for key, (state, _) in zip(keys, found, strict=True):
            if state is None and isinstance(exc := store.absence(bytes_to_str(key)[prefix:]), JobExpired):
                raise exc
        return [meta if state and not State(state.decode()).is_live else None for state, meta in found]

    def get_many(self, task_ids: Any, timeout: float | None = None, interval: float | None = 0.5, **rest: Any) -> Any:
        """The results of many jobs as they end; Celery's own pauses even after a single look, before it listens."""
        pause = 0 if rest.get("max_iterations") == 1 else interval
        return super().get_many(task_ids, timeout=timeout, interval=pause, **rest)

    def task_result_exists(self, task_id: str) -> bool:
        """Is there a job of that id?"""
        store = self.jobs.store
        return bool(store.call(lambda: store.client.exists(store.keys.job(task_id))))

    def _forget(self, task_id: str) -> None:
        self.jobs.store.forget(task_id)


def _is_eager(request: Any) -> bool:
    return bool(getattr(request, "is_eager", False))


class JobBackend(Recording, RedisBackend):
    """Results in the job's record (``jobkit+redis://``)."""


class SentinelJobBackend(Recording, SentinelBackend):
    """The same behind Redis Sentinel (``jobkit+sentinel://``)."""
