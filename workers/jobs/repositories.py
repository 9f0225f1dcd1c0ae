"""Present a repository to many servers: a parent, a child for each server, locks, and a rollback that really undoes.

::

    from workers.jobs.repositories import present_repository

    present_repository.delay("/srv/repositories/iso", ["/srv/servers/ovs1", "/srv/servers/ovs2"])
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobkit import Policy
from workers import servers
from workers.app import app
from workers.servers import Presented


def _repository_lock(repository: str, server_names: list[str]) -> list[str]:
    return [f"repository {repository}"]


def _server_lock(server: str, repository: str) -> list[str]:
    # After "repository …" in the alphabet, as a child's locks have to be.
    return [f"server {server}"]


@app.task(bind=True, policy=Policy(locks=_repository_lock, restart_on=("abort", "shutdown")))
def present_repository(self: Any, repository: str, server_names: list[str]) -> str:
    """Present a repository to all of these servers, or to none.

    Parameters: the directory; the servers' own directories.  When one cannot present it, or the job is aborted, those
    that do already stop doing so, newest first, before the job is reported as ended.
    """
    for server in server_names:
        self.job.on_rollback(withdraw_from.s(server, repository))
    self.job.spawn(*(present_to.s(server, repository) for server in server_names), failure="abort_siblings")
    return f"{Path(repository).name} is presented to {len(server_names)} servers"


@app.task(bind=True, policy=Policy(locks=_server_lock, restart_on=("abort", "shutdown")))
def present_to(self: Any, server: str, repository: str) -> Presented:
    """Have one server present the repository: a process that serves it, read from once.  Raises `ServerError`."""
    presented = servers.present(Path(server), Path(repository))
    self.job.log(f"{presented['repository']} can be read at {presented['url']}")
    return presented


@app.task(bind=True)
def withdraw_from(self: Any, server: str, repository: str) -> bool:
    """Have one server present the repository no more."""
    ended = servers.withdraw(Path(server), Path(repository))
    self.job.log(f"{repository} on {server}: {'withdrawn' if ended else 'it was not presented'}")
    return ended
