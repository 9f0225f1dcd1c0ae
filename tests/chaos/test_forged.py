"""X6: whoever can write to the broker, and no more, has nothing run, nothing changed and nothing ended."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from jobkit.states import State
from jobkit.testing import eventually
from tests.brokers import put, waiting
from tests.chaos.evidence import SAVED, START
from tests.chaos.nursery import Nursery
from tests.chaos.size import size
from tests.chaos.stage import staged

S = State
Message = dict[str, Any]


def body(message: Message) -> list[Any]:
    return list(json.loads(base64.b64decode(message["body"])))


def written(message: Message, content: list[Any]) -> None:
    message["body"] = base64.b64encode(json.dumps(content).encode()).decode()


def other_arguments(message: Message) -> None:
    written(message, [[5, 0.01], *body(message)[1:]])


def a_callback(message: Message) -> None:
    args, kwargs, embed = body(message)
    link = {"task": "plain", "args": [0.01], "kwargs": {}, "options": {"task_id": "linked"}, "subtask_type": None}
    written(message, [args, kwargs, {**embed, "callbacks": [link]}])


def headers(**changed: Any) -> Callable[[Message], None]:
    return lambda message: message["headers"].update(changed)


def without_a_run(message: Message) -> None:
    other_arguments(message)
    del message["headers"]["job_run"]


#: What may be done to a message in the broker, by its name.
FORGERIES: dict[str, Callable[[Message], None]] = {
    "other arguments": other_arguments,
    "other arguments, as if from a client without jobkit": without_a_run,
    "another task": headers(task="plain"),
    "a task nobody knows": headers(task="nowhere"),
    "a callback": a_callback,
    "another run": headers(job_run=7),
    "a run that is none": headers(job_run={"a": "b c"}),
    "a time limit": headers(timelimit=[0.001, 0.001]),
    "expired": headers(expires="2001-01-01T00:00:00+00:00"),
    "the same once more": lambda message: None,
    "a job nobody submitted": headers(id="forged"),
    "a job nobody submitted, as if from a client without jobkit": lambda message: (
        headers(id="foreign")(message),
        message["headers"].pop("job_run"),
    )[0],
}


def test_x6_what_is_forged_is_not_run(tmp_path: Path, nursery: Nursery) -> None:
    with staged(tmp_path, {"jobkit_unrecorded": False}, nursery=nursery) as stage:
        names = list(FORGERIES) * size(1, 80)
        handles = [stage.submit("steps", 2, 0.01) for _ in names]
        own: list[Message] = []
        forged: list[Message] = []
        for name, message in zip(names, waiting(stage.app, keep=False), strict=True):
            forged.append(deepcopy(message))
            FORGERIES[name](forged[-1])
            if not name.startswith(("other", "a time", "expired", "a callback")):
                own.append(message)  # the forged one comes beside it, else in its place
        put(stage.app, "celery", *own, *forged)
        worker = stage.start()
        assert stage.judge(size(40, 200)) == []
        for handle in handles:
            assert handle.job.state is S.FINISHED
            assert [line.more["value"] for line in stage.evidence.of(handle.id, SAVED)] == [1, 2]
        assert {line.job for line in stage.evidence.lines(START)} == {handle.id for handle in handles}
        dropped = worker.log.count(" dropped: ") + worker.log.count("but not its task, was dropped")
        # The time limit that one came with may be over before its process has said so.
        killed = worker.log.count("exited with 'signal 9 (SIGKILL)'")
        print("forged:", len(names), "dropped:", dropped, "killed:", killed)
        assert dropped + killed >= len(names)


def test_x6_who_sends_without_a_record_may_if_the_app_has_it_so(tmp_path: Path, nursery: Nursery) -> None:
    with staged(tmp_path, nursery=nursery) as stage:
        handle = stage.submit("steps", 2, 0.01)
        [foreign] = waiting(stage.app)
        foreign["headers"]["id"] = "foreign"
        del foreign["headers"]["job_run"]
        put(stage.app, "celery", foreign)
        stage.start()
        eventually(lambda: not handle.job.is_live and len(stage.evidence.of("foreign", SAVED)) == 2, 20)
        assert stage.judge(ignore=["nothing_is_unexpected"]) == []
