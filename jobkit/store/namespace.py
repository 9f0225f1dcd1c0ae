"""One namespace of jobs in one Redis: how its scripts are run, and what their answers mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from redis import Redis

from jobkit.errors import Fenced, IllegalTransition, JobNotFound, SchemaMismatch
from jobkit.store.connection import PATIENCE, patiently, stubbornly
from jobkit.store.durability import Durability, confirmed
from jobkit.store.gone import absence
from jobkit.store.keys import SCHEMA, Keys
from jobkit.store.scripts import Scripts
from jobkit.store.values import DEFAULT_LIMITS, Limits, Verdict, operation

T = TypeVar("T")


class Namespace:
    """One namespace of jobs in one Redis.

    Parameters: a `client` (bytes, not decoded), `namespace`, `url` for messages (without a password), `patience` in
    seconds of trying again while Redis does not answer; `limits` of what ended jobs take; `durability` of what is
    recorded; `test_clock` for tests only.
    """

    #: Has it been seen that this Redis can say when a write is as durable as it has to be?
    is_fit = False

    def __init__(
        self,
        client: Redis,
        namespace: str = "jobkit",
        *,
        url: str = "",
        patience: float = PATIENCE,
        limits: Limits = DEFAULT_LIMITS,
        durability: Durability = Durability(),  # noqa: B008  it is frozen
        test_clock: bool = False,
    ) -> None:
        self.client, self.url, self.patience, self.limits = client, url, patience, limits
        self.durability = durability
        self.keys = Keys(namespace)
        self._scripts = Scripts(client, self.keys.base, test_clock=test_clock)

    def call(self, what: Callable[[], T]) -> T:
        """One call to Redis, tried again for a while, its failures named."""
        return patiently(what, self.url, self.patience)

    def run(self, script: str, *args: Any, late: str = "", sure: Sequence[str] = ()) -> Any:
        """Run a verb's script.

        Parameters: `late` names what has happened already, and is recorded late if Redis cannot take it; `sure`, the
        jobs it is about, where it is to be as durable as the settings say when this returns.
        """
        if sure:
            return confirmed(self, script, args, sure, late)
        if late:
            return stubbornly(lambda: self._scripts(script, *args), self.url, late)
        return self.call(lambda: self._scripts(script, *args))

    def followed(self, script: str, args: Sequence[Any], commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers of a verb's script, and of the commands that follow it on the same connection."""
        return self._scripts.followed(script, args, commands)

    def submitted(self, *job_ids: str) -> Sequence[str]:
        """What has to be sure of these, which are submitted."""
        return job_ids if self.durability.submits else ()

    def claimed(self, job_id: str) -> Sequence[str]:
        """What has to be sure of a job when somebody acts on it."""
        return (job_id,) if self.durability.claims else ()

    def command(self, script: str, *args: Any, load: bool = False) -> list[Any]:
        """The command that runs a verb's script, for a connection of somebody else's."""
        return self._scripts.command(script, *args, load=load)

    def check_schema(self) -> None:
        """Write the schema of a new namespace, or check that of an old one.  Raises: `SchemaMismatch`."""
        about = self.keys.key("about")
        self.call(lambda: self.client.hsetnx(about, "schema", SCHEMA))
        found: Any = self.call(lambda: self.client.hget(about, "schema")) or b""
        if found != str(SCHEMA).encode():
            raise SchemaMismatch(
                url=self.url, namespace=self.keys.namespace, found=found.decode(), expected=SCHEMA,
                reason="upgrade this jobkit, or use another namespace",
            )  # fmt: skip
        self.call(lambda: self.client.hsetnx(about, "epoch", operation()))

    def absence(self, job_id: str) -> JobNotFound:
        """Why there is no record of this job: it has gone, or there never was one."""
        return absence(job_id, self.keys.namespace, self.run("read", job_id, "state"))

    # -- codes become exceptions here, and nowhere else -----------------------------------------------------

    def verdict(self, job_id: str, reply: Sequence[Any], *, strict: bool = True) -> Verdict:
        """What a script's answer means.  Raises: `JobUnknown`, `IllegalTransition`, `Fenced` if `strict`."""
        code, state, run, *rest = [part.decode() if isinstance(part, bytes) else part for part in reply]
        if strict and code == "missing":
            raise self.absence(job_id)
        if strict and code == "refused":
            raise IllegalTransition(job=job_id, source=state, target=rest[0])
        if strict and code == "fenced":
            raise Fenced(job_id=job_id, run=run)
        if not rest or code != "ok":
            return Verdict(code, state, int(run))
        rows = list(zip(rest[::3], map(int, rest[1::3]), rest[2::3], strict=True))
        owed = tuple(row for row in rows if row[2])
        return Verdict(code, state, int(run), owed, tuple(row[0] for row in rows if not row[2]))


def or_empty(value: int | str | None) -> int | str:
    """As an argument of a script."""
    return "" if value is None else value
