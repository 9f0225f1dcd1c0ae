"""What to do next: one or two sentences and commands for each state a job may be found in."""

from __future__ import annotations

from collections.abc import Iterator

from jobkit.cli.text import duration, moment, until
from jobkit.model import Job
from jobkit.states import Category, State

_WAITING = {
    State.CHILD_QUEUED: "It waits for its children:  {command} tree {id}",
    State.CHILD_RUNNING: "It waits for its children:  {command} tree {id}",
    State.ROLLING_BACK: "What it did is undone:  {command} tree {id}",
    State.WAITING_FOR_START: "Start it now:  {command} reschedule {id} --in 0",
    State.WAITING_FOR_PREDECESSOR: "It waits for:  {command} show {after}",
    State.WAITING_FOR_LOCK: "It waits for a lock:  {command} locks",
    State.HOST_BLOCKED: "It goes on when what holds it back is lifted:  {command} blocks",
    State.SUSPENDED: "Wake it:  {command} resume {id}",
    State.QUEUED: "It waits for a free worker slot of queue {queue!r}; are workers up?  {celery} status",
    State.REMOVING: "It ends as REMOVED when a worker comes to it; are workers up?  {celery} status",
}
_ENDED = {
    State.FINISHED: "Its path:  {command} history {id}",
    State.KILLED: "It did not stop when asked, and was killed: check what it left half done.",
    State.ABORTED: "Its worker vanished: look for a crash, a power cut or a lack of memory in that worker's log.",
    State.TIMEOUT: "Its time ran out: give it more, or make it do less.",
}
_FAILED = "How it came to that:  {command} history {id}"


def next_steps(job: Job, command: str) -> Iterator[str]:
    """The lines to print below a job.

    Parameters: `command`: how the group of commands is called, such as ``celery -A shop jobs``.
    """
    facts = {
        "id": job.id,
        "after": job.after_id,
        "queue": job.queue or "celery",
        "command": command,
        "celery": command.removesuffix(" jobs").replace("jobkit", "celery", 1),
    }
    if job.state is State.WAITING_FOR_START and job.start_at:
        yield f"It starts at {moment(job.start_at)}, in {duration(until(job.start_at))}."
    if job.state in _WAITING:
        yield _WAITING[job.state].format(**facts)
    elif job.is_live:
        yield "Follow it:  {command} watch {id}".format(**facts)
    elif job.state.category is Category.RESTARTED:
        yield "Its next run is planned:  {command} watch {id}".format(**facts)
    else:
        yield _ENDED.get(job.state, _FAILED).format(**facts)
    if job.is_live and job.state not in (State.REMOVING, State.ROLLING_BACK):
        yield "End it:  {command} abort {id}".format(**facts)
    if job.expires_at:
        yield f"Its record is kept until {moment(job.expires_at)}."
