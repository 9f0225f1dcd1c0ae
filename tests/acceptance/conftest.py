"""The app of lifecycle_app.py on a private Redis, and workers for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from jobkit.testing import WorkerFactory, WorkerProcess
from tests.acceptance.apps import imported

HERE = Path(__file__).parent


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where the tasks write what they do."""
    path = tmp_path / "notes"
    path.touch()
    return path


@pytest.fixture
def lifecycle(jobkit_store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The app's module, in this process: a client."""
    monkeypatch.syspath_prepend(str(HERE))
    with imported("lifecycle_app", {"JOBKIT_TEST_URL": jobkit_store_url}) as module:
        yield module


@pytest.fixture
def start_worker(jobkit_store_url: str, notes: Path, worker_process: WorkerFactory) -> Callable[..., WorkerProcess]:
    """Start a worker of that app."""
    common = {"JOBKIT_TEST_URL": jobkit_store_url, "JOBKIT_TEST_NOTES": str(notes), "PYTHONPATH": str(HERE)}

    def start(env: Mapping[str, str] | None = None, **options: object) -> WorkerProcess:
        return worker_process("lifecycle_app", env={**common, **(env or {})}, cwd=HERE.parent.parent, **options)

    return start
