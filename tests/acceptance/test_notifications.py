"""The notification job of the TFS document, on a real mail server that refuses some addresses."""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from jobkit import Execution, JobKit, Outcome
from jobkit.testing import WorkerFactory, eventually
from tests.brokers import shipped, variables

ROOT = Path(__file__).parents[2]
REFUSAL = "550 5.7.1 Client does not have permissions to send as this sender"


class MailServer:
    """Takes mails for everybody but those it refuses."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.mails: list[tuple[str, str]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refused:
            return REFUSAL
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails += [(address, envelope.content.decode()) for address in envelope.rcpt_tos]
        return "250 OK"


@pytest.fixture
def mail() -> Iterator[tuple[MailServer, str]]:
    handler = MailServer()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, f"127.0.0.1:{port}"
    controller.stop()


@pytest.fixture
def jobs(jobkit_store_url: str, monkeypatch: pytest.MonkeyPatch, worker_process: WorkerFactory) -> Iterator[JobKit]:
    """The example workers, and one of them."""
    env = variables(jobkit_store_url)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in sys.modules if name.startswith(("workers", "tests.shipped"))]:
        monkeypatch.delitem(sys.modules, name)
    worker_process(shipped(), env=env, cwd=ROOT)
    kit: JobKit = importlib.import_module(shipped()).jobs
    yield kit
    kit.close()
    for name in [name for name in sys.modules if name.startswith(("workers", "tests.shipped"))]:
        del sys.modules[name]


def test_a_delivery_that_fails_is_looked_into_fixed_and_run_again(
    jobs: JobKit, mail: tuple[MailServer, str], tmp_path: Path
) -> None:
    from workers import spool

    server, address = mail
    definitions = jobs.definitions
    data = {"spool": str(tmp_path / "spool"), "server": address, "sender": "shop@example.org"}
    definitions.create("notifications", task="workers.jobs.notifications.deliver", backup_every=900, data=data)

    def run(count: int) -> Execution:
        eventually(lambda: len(definitions.history("notifications")) == count, 20, "it has not run")
        return definitions.history("notifications")[0]

    # Nothing arrives, and the first look says how much, but not why.
    server.refused = {"alice@example.org"}
    spool.put(tmp_path / "spool", "alice@example.org", "CheckinEvent", "A change.")
    definitions.queue_within("notifications", 0.2)
    failed = run(1)
    assert failed.outcome is Outcome.FAILED
    assert "0/1 emails delivered.\n1 errors.\nSet the log level of this definition to DEBUG" in failed.message
    assert jobs.log("@notifications") == ()

    # More detail, for an hour.
    definitions.set_log_level("notifications", "DEBUG", for_=3600)
    definitions.queue_now("notifications")
    detailed = run(2)
    assert detailed.outcome is Outcome.FAILED
    assert f"Address: alice@example.org\nThe server says: {REFUSAL}" in detailed.message
    assert [line.message for line in jobs.log("@notifications")] == [f"alice@example.org was refused: {REFUSAL}"]

    # Some arrive; what was refused waits.
    for name in ("bob", "carol"):
        spool.put(tmp_path / "spool", f"{name}@example.org", "WorkItemChanged", "A change.")
    definitions.queue_now("notifications")
    partial = run(3)
    assert partial.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert "2/3 emails delivered." in partial.message

    # Fixed, and run again.
    server.refused = set()
    definitions.set_log_level("notifications", "INFO")
    definitions.queue_now("notifications")
    fixed = run(4)
    assert (fixed.outcome, fixed.message) == (Outcome.SUCCEEDED, "1/1 emails delivered.")
    assert [name for name, _ in server.mails] == [f"{name}@example.org" for name in ("bob", "carol", "alice")]
    assert "Subject: CheckinEvent" in server.mails[-1][1]
    assert not list((tmp_path / "spool").iterdir())
    last = definitions.latest("notifications", "FAILED")
    assert last == detailed
