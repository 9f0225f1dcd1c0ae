"""How jobkit gets into an app: every extension point it takes, in one place, and nothing connected or read early."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from celery.app.backends import by_url
from celery.utils.imports import symbol_by_name

from jobkit.ext import declaring, task
from jobkit.ext.amqp import JobAMQP
from jobkit.ext.backend import JobBackend, SentinelJobBackend
from jobkit.ext.bootsteps import Keeper
from jobkit.ext.result import JobResult
from jobkit.ext.urls import REDIS, scheme, store_url

if TYPE_CHECKING:
    from jobkit.ext.app import JobKit


def install(jobs: JobKit) -> None:
    """Take the extension points of the app."""
    app = jobs.app
    app.jobkit = jobs
    # Tasks that are called before the app is finalized, and those with another base class, are adopted then.
    app.task_cls = task.mixed(symbol_by_name(app.task_cls))
    app.__dict__.pop("Task", None)
    app.amqp_cls = _with_base(JobAMQP, app.amqp_cls)
    app.__dict__.pop("amqp", None)
    if app.backend_cls is None or isinstance(app.backend_cls, str):
        app.backend_cls = _backend_factory(app.backend_cls)
    app._local.__dict__.pop("backend", None)
    app.AsyncResult = app.subclass_with_self(JobResult)
    app.steps["worker"].add(Keeper)
    app.on_after_finalize.connect(_finalized, weak=False)
    if app.finalized:
        _finalized(app)
    _install_pages(jobs)


def _finalized(sender: Any, **_: Any) -> None:
    declaring.load_plugins(sender.jobkit)
    task.adopt(sender)


def _install_pages(jobs: JobKit) -> None:
    # The app's module is imported before Flower is built, and by then click knows what was asked for.
    context = click.get_current_context(silent=True)
    if context is not None and context.invoked_subcommand == "flower":
        from jobkit import web

        web.install(jobs)


def _with_base(ours: type[Any], theirs: Any) -> type[Any]:
    base = symbol_by_name(theirs)
    return ours if issubclass(ours, base) else type(ours.__name__, (ours, base), {})


def backend_class(url: str) -> type[JobBackend] | type[SentinelJobBackend]:
    """The class of our result backend for this URL."""
    return SentinelJobBackend if scheme(url) == "sentinel" else JobBackend


def _backend_factory(chosen: str | None) -> Callable[..., Any]:
    """What the app makes its result backend with: ours over Redis, the user's own where he chose another kind."""

    def backend(app: Any, url: str | None = None) -> Any:
        configured = chosen or app.conf.result_backend
        if configured and scheme(configured) not in REDIS:
            kind, url = by_url(configured, app.loader)
            return kind(app=app, url=url)
        url = store_url(app.jobkit)
        return backend_class(url)(app=app, url=url)

    return backend
