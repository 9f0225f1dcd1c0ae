"""What is shipped, and which part may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import jobkit

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "jobkit"
MODULES = sorted(path.relative_to(PROJECT) for path in PACKAGE.rglob("*.py"))

#: A library, and the parts of jobkit that may import it.
LIBRARIES = {
    "redis": ("store", "embedded"),
    "celery": ("ext", "cli", "web", "demo", "testing", "schedules"),  # of Celery, schedules uses its schedules
    "kombu": ("ext", "cli", "web", "demo", "testing"),
    "billiard": ("ext",),
    "flower": ("web",),
    "tornado": ("web",),
    "sqlalchemy": ("services",),
}

#: The floors, from the bottom; an import may point sideways or down, never up.
FLOORS = (
    ("states", "errors"),
    ("model", "locks", "times", "priorities", "policy", "stopping", "schedules", "definitions", "drawing"),
    ("store",),
    ("config", "waiting", "client", "hosts", "sessions", "aio", "running", "services"),
    ("__init__", "ext", "cli", "web", "demo", "embedded", "testing"),
)
FLOOR = {part: height for height, parts in enumerate(FLOORS) for part in parts}

#: Names that applications may rely on.
PUBLIC = """\
Answer Backoff BadRecord Block CannotConfirm CannotSpawn Category ChildFailed Definition DefinitionConflict
DefinitionUnknown Enabled Ending Execution Failure Fenced Finding Footprint IllegalTransition InvalidOption
Job JobExpired JobKit JobNotFound JobUnknown JobkitError Lock LockState LogLine Misfire NotAllSubmitted NotConfirmed
NotSerializable Outcome Overlap Page PayloadError PayloadTooLarge Policy Progress Queued Rate Reason Run Schedule
Semaphore State StoreError StoreRefused StoreUnavailable TooManyPins Transition Tree UnsafeStore schedule
"""


def part(module: Path) -> str:
    """The part of jobkit a file belongs to: ``store`` for ``jobkit/store/keys.py``."""
    return module.parts[1].removesuffix(".py")


def imports(module: Path) -> Iterator[str]:
    """Every module a file imports when it runs; what only a type checker sees binds nothing."""
    tree = ast.parse((PROJECT / module).read_text())
    checked = {child for node in ast.walk(tree) if is_type_checking(node) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if node in checked:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names if node.module == "jobkit")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_libraries_stay_in_their_rooms(module: Path) -> None:
    used = {name.split(".")[0] for name in imports(module)}
    strangers = {library for library, parts in LIBRARIES.items() if library in used and part(module) not in parts}
    assert not strangers


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_down(module: Path) -> None:
    here = FLOOR[part(module)]
    names = {name.split(".")[1] for name in imports(module) if name.startswith("jobkit.")}
    assert not {name for name in names if FLOOR.get(name, 0) > here}


def test_public_names_are_pinned() -> None:
    assert sorted(jobkit.__all__) == PUBLIC.split()
    assert all(hasattr(jobkit, name) for name in jobkit.__all__)


def test_the_plugin_imports_nothing_heavy() -> None:
    # the package itself is imported already wherever the plugin is useful
    source = (PACKAGE / "testing.py").read_text()
    top = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top}
    assert {name.split(".")[0] for name in names if name} <= {*sys.stdlib_module_names, "pytest"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("celery_jobkit-*-py3-none-any.whl")
    assert built.name.split("-")[1] == jobkit.__version__
    with zipfile.ZipFile(built) as opened:
        yield opened


def test_the_wheel_has_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    files = {path.relative_to(PROJECT).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    workers = {
        f"jobkit/demo/shipped/{p.relative_to(PROJECT).as_posix()}"
        for p in (PROJECT / "workers").rglob("*")
        if p.is_file()
    }
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name for name in files if "__pycache__" not in name} == shipped - workers
    assert "jobkit/demo/shipped/workers/disks.csv" in shipped
    assert "jobkit/py.typed" in shipped
    assert any(name.endswith(".lua") for name in shipped)
    assert any(name.startswith("jobkit/web/templates/") for name in shipped)


def test_the_wheel_says_what_it_needs(wheel: zipfile.ZipFile) -> None:
    [metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    lines = wheel.read(metadata).decode().splitlines()
    needed = {line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")}
    assert {line for line in needed if "extra ==" not in line} == {
        "celery[redis]<6,>=5.7",
        "psutil>=5.9",
        "python-dateutil",
        "redis[hiredis]",
    }
    assert "Requires-Python: >=3.10" in lines


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("console_scripts", "jobkit"),
        ("celery.commands", "jobs"),
        ("celery.result_backends", "jobkit"),
        ("celery.beat_schedulers", "jobkit"),
    ],
)
def test_entry_points_can_be_loaded(wheel: zipfile.ZipFile, group: str, name: str) -> None:
    [declared] = [entry for entry in wheel.namelist() if entry.endswith(".dist-info/entry_points.txt")]
    groups = ConfigParser()
    groups.read_string(wheel.read(declared).decode())
    assert callable(EntryPoint(name, groups[group][name], group).load())
