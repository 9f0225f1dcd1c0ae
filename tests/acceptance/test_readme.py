"""What the README shows is run: its module, its client, and what it says they print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from jobkit.testing import WorkerFactory

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def shape(printed: str) -> list[str]:
    """The lines, without what differs from run to run: names of hosts, and how far the job was when first asked."""
    lines = re.sub(r"by \S+", "by somebody", printed).splitlines()
    return ["some state", *lines[1:]]


def test_the_example_prints_what_the_readme_says(
    jobkit_store_url: str, worker_process: WorkerFactory, tmp_path: Path
) -> None:
    module, client = blocks("python")
    (tmp_path / "shop.py").write_text(module)
    env = {"REDIS_URL": jobkit_store_url, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    worker_process("shop", env=env, cwd=tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", client],
        env={**env, "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert shape(done.stdout) == shape(blocks("text")[0])


def test_the_page_on_definitions_prints_what_it_says(jobkit_store_url: str) -> None:
    page = (ROOT / "docs" / "definitions.md").read_text()
    [code] = blocks("python", page)
    done = subprocess.run(
        [sys.executable, "-c", f"redis = {jobkit_store_url!r}\n{code}"],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == blocks("text", page)[0]


def test_every_file_it_points_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
