"""Delivery of notifications by mail, as one definition that events have queued, many at a time.

::

    jobs.definitions.create("notifications", task="workers.jobs.notifications.deliver", backup_every=900,
                            data={"spool": "/var/spool/shop", "server": "mail:25", "sender": "shop@example.org"})
    spool.put("/var/spool/shop", "alice@example.org", "Your order", "It is on its way.")
    jobs.definitions.queue_within("notifications", 120)   # with all that comes until then

What is refused stays in the spool for the next run. Set the definition's log level to DEBUG to read why.
"""

from __future__ import annotations

import smtplib
from contextlib import closing
from email.message import EmailMessage
from typing import Any

from workers import spool
from workers.app import app

#: Seconds the mail server has for one answer.
TIMEOUT = 10.0


class NothingDelivered(Exception):
    """Not one of the notifications could be delivered."""


@app.task(bind=True)
def deliver(self: Any, spool: str, server: str, sender: str) -> int:
    """Deliver everything in a spool.

    Parameters: the directory; the mail server as ``host:port``; whose name the mails have.  Returns how many were
    delivered; the job ends PARTIALLY_SUCCEEDED, or fails with `NothingDelivered`, where some, or all, were not.
    """
    delivery = Delivery(self.job, sender)
    host, _, port = server.partition(":")
    with closing(smtplib.SMTP(host, int(port or 25), timeout=TIMEOUT)) as connection:
        delivery.run(connection, spool)
    if not delivery.errors:
        return self.job.succeeded(delivery.summary, result=delivery.delivered)
    if not delivery.delivered:
        raise NothingDelivered(delivery.summary)
    return self.job.partially_succeeded(delivery.summary, result=delivery.delivered)


class Delivery:
    """One run through the spool, and what came of it."""

    def __init__(self, job: Any, sender: str) -> None:
        self.job, self.sender = job, sender
        self.delivered, self.errors = 0, list[str]()

    def run(self, connection: smtplib.SMTP, directory: str) -> None:
        """Send one after the other; what was sent leaves the spool."""
        waiting = spool.all_of(directory)
        for path, (address, subject, text) in self.job_of(waiting):
            try:
                connection.send_message(self._mail(address, subject, text))
            except smtplib.SMTPException as refusal:
                connection.rset()
                self._refused(address, subject, refusal)
            else:
                self.delivered += 1
                path.unlink()
                self.job.log(f"{subject!r} was delivered to {address}", level="DEBUG")

    def job_of(self, waiting: list[Any]) -> Any:
        """What waits, with the progress of the job."""
        for n, item in enumerate(waiting, 1):
            yield item
            self.job.progress(n, len(waiting), f"{self.delivered} delivered")
            self.job.raise_if_should_finish()

    def _mail(self, address: str, subject: str, text: str) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.sender, address, subject
        mail.set_content(text)
        return mail

    def _refused(self, address: str, subject: str, refusal: smtplib.SMTPException) -> None:
        why = str(refusal)
        if isinstance(refusal, smtplib.SMTPRecipientsRefused):
            why = "; ".join(f"{code} {reason.decode(errors='replace')}" for code, reason in refusal.recipients.values())
        self.errors.append(f"Notification: {subject}\nAddress: {address}\nThe server says: {why}")
        self.job.log(f"{address} was refused: {why}", level="DEBUG")

    @property
    def summary(self) -> str:
        """What people read: numbers, and the errors where the log level asks for them."""
        total = self.delivered + len(self.errors)
        counts = f"{self.delivered}/{total} emails delivered."
        if not self.errors:
            return counts
        head = f"There were errors during notification delivery.\n{counts}\n{len(self.errors)} errors."
        if self.job.log_level == "DEBUG":
            return "\n".join([head, *("-" * 31 + "\n" + error for error in self.errors)])
        return f"{head}\nSet the log level of this definition to DEBUG to see them."
