"""An engine, the images and the containers of these tests: one Redis, two workers, all real.

Where no engine answers, `engine.sh` starts a private one, which stops with the session.  Where none can be started
the tests are skipped and say why; where CI is set, they fail.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from docker import DockerClient  # type: ignore[import-untyped]
from pytest_celery import (
    CeleryBrokerCluster,
    CeleryTestWorker,
    CeleryWorkerCluster,
    CeleryWorkerContainer,
    RedisTestBroker,
)
from pytest_docker_tools import container, fxtr
from pytest_docker_tools.wrappers import container as container_wrapper

SCRIPT = Path(__file__).with_name("engine.sh")
STATE = Path(os.environ.get("JOBKIT_ENGINE_DIR", Path.home() / ".cache" / "jobkit-engine"))
CANNOT = 77


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers: its address, and the names of the images it has."""

    address: str
    worker: str
    redis: str


class NoEngine(Exception):
    """This machine cannot start an engine or get the images, for the reason given."""


def ask(verb: str) -> str:
    """The output of one command of engine.sh; raises `NoEngine`, or RuntimeError with what it said when it failed."""
    environment = {**os.environ, "JOBKIT_ENGINE_DIR": str(STATE)}
    done = subprocess.run([SCRIPT, verb], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise (NoEngine if done.returncode == CANNOT else RuntimeError)(done.stderr.strip())
    return done.stdout.strip()


@contextmanager
def held(name: str, kind: int) -> Iterator[None]:
    """A lock among all test runs of this user."""
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (STATE / name).open("w") as file:
        fcntl.flock(file, kind)
        yield


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine with fresh images; a private one is stopped by the last test run that uses it."""
    try:
        with held("users", fcntl.LOCK_SH):
            yield prepared()
    finally:
        with suppress(BlockingIOError), held("users", fcntl.LOCK_EX | fcntl.LOCK_NB):
            ask("stop")


def prepared() -> Engine:
    """The engine, or the end of the test: skipped loudly, or failed where CI is set."""
    try:
        with held("making", fcntl.LOCK_EX):
            address = ask("start")
            images = dict(line.split("=", 1) for line in ask("images").splitlines())
    except NoEngine as why:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"THE CONTAINER TESTS DID NOT RUN: {why}")
    return Engine(address, images["WORKER"], images["REDIS"])


@pytest.fixture(scope="session")
def docker_client(engine: Engine) -> Iterator[DockerClient]:
    """A client of that engine; pytest-docker-tools starts every container through it."""
    client = DockerClient(base_url=engine.address)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def outside_the_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine runs beside the tests: ports are published here even where /.dockerenv exists."""
    monkeypatch.setattr(container_wrapper, "tests_inside_container", lambda: False)


@pytest.fixture
def default_redis_broker_image(engine: Engine) -> str:
    """The image pytest-celery starts Redis from."""
    return engine.redis


@pytest.fixture
def celery_broker_cluster(celery_redis_broker: RedisTestBroker) -> CeleryBrokerCluster:
    """One Redis, and no matrix of brokers."""
    return CeleryBrokerCluster(celery_redis_broker)


@pytest.fixture
def celery_backend_cluster() -> None:
    """No second Redis: results and jobs live in the broker's."""


@pytest.fixture
def celery_backend_cluster_config(celery_broker_cluster_config: dict[str, list[str]]) -> dict[str, list[str]]:
    """The broker's Redis is the result backend too."""
    return celery_broker_cluster_config


@pytest.fixture
def default_worker_env(celery_broker_cluster_config: dict[str, list[str]]) -> dict[str, str]:
    """What docker-compose.yml gives to its workers."""
    url = celery_broker_cluster_config["urls"][0]
    return {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}


# The image's own command and user, and the restrictions of docker-compose.yml.
_WORKER = {
    "image": "{engine.worker}",
    "environment": fxtr("default_worker_env"),
    "network": "{default_pytest_celery_network.name}",
    "wrapper_class": CeleryWorkerContainer,
    "timeout": 60,
    "init": True,
    "read_only": True,
    "tmpfs": {"/tmp": "", "/srv/jobkit/data": "uid=10001"},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}
first_worker = container(**_WORKER)
second_worker = container(**_WORKER)


@pytest.fixture
def celery_worker_cluster(request: pytest.FixtureRequest) -> CeleryWorkerCluster:
    """One worker, or two where a test asks for them: `docker compose up --scale worker=2`."""
    names = ("first_worker", "second_worker")[: getattr(request, "param", 1)]
    return CeleryWorkerCluster(*(CeleryTestWorker(request.getfixturevalue(name), app=None) for name in names))
