"""The pure parts of the disk jobs: sizes, names, lists, and one image at a time."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workers
from jobkit import Outcome
from jobkit.running import current
from workers.app import app
from workers.batch import REASONS_SHOWN, Batch
from workers.disk_list import MAX_DISKS, MAX_SIZE, Disk, parse_disk, parse_name, parse_size, read_list
from workers.errors import DiskError, DiskExists, DiskFailed, InvalidDisk, InvalidList, NothingCreated
from workers.images import Image, new_image, sha256
from workers.jobs.disks import create_disk, create_disks

SAMPLES = Path(workers.__file__).parent


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64M", 64 * 1024**2),
        ("1G", 1024**3),
        ("512KiB", 512 * 1024),
        ("2 kib", 2048),
        ("10KB", 10_000),
        ("3MB", 3_000_000),
        ("7B", 7),
        ("1048576", 1048576),
        (" 5k ", 5120),
        ("2T", MAX_SIZE),
        (4096, 4096),
    ],
)
def test_a_size_is_read(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "value",
    ["", "M", "-1", "1.5G", "0", 0, -1, 2.5, True, None, [], "64 MiBs", "٣M", "1P", "3T", "9" * 5000, "1\u212a", "1_0"],
)
def test_a_bad_size_is_refused_by_value_and_with_what_is_allowed(value: object) -> None:
    with pytest.raises(InvalidDisk) as caught:
        parse_size(value)
    assert (caught.value.column, caught.value.value) == ("size", value)
    assert "1 byte to 2 TiB" in str(caught.value)


@given(st.integers(1, MAX_SIZE))
def test_every_allowed_number_of_bytes_is_itself(size: int) -> None:
    assert parse_size(size) == parse_size(str(size)) == size


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a/b",
        "..",
        ".",
        ".hidden",
        "",
        " ",
        "a\\b",
        "a\0",
        "a\nb",
        "ä",
        "-rf",
        "x" * 101,
        None,
        7,
    ],
)
def test_a_name_that_could_leave_its_directory_is_refused(name: object) -> None:
    with pytest.raises(InvalidDisk, match="name is"):
        parse_name(name)


@given(st.text())
def test_an_accepted_name_is_one_plain_path_component(text: str) -> None:
    try:
        name = parse_name(text)
    except InvalidDisk:
        return
    assert Path("/images", name).resolve().parent == Path("/images")


@pytest.mark.parametrize(
    "entry", [None, [], "web", {"name": "a"}, {"size": 1}, {"name": "a", "size": 1, "colour": "red"}]
)
def test_a_bad_entry_is_refused(entry: object) -> None:
    with pytest.raises(InvalidDisk):
        parse_disk(entry)


def test_the_samples_are_good_lists() -> None:
    for name in ("disks.csv", "disks.json"):
        disks = read_list(SAMPLES / name)
        assert len(disks) == 12
        assert max(disk["size"] for disk in disks) == 200 * 1024**2


def listed(directory: Path, text: str | bytes, name: str = "disks.csv") -> list[Disk]:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_list(path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name,size\na.img,64M\nb.img,4096\n", "disks.csv"),
        ("\ufeffName, Size\r\na.img, 64M\r\n\r\nb.img,4KiB\r\n", "disks.CSV"),
        ('size,name\n"64M","a.img"\n4k,b.img', "disks.csv"),
        ('[{"name": "a.img", "size": "64M"},\n {"size": 4096, "name": "b.img"}]', "disks.json"),
    ],
)
def test_a_list_is_read_in_every_spelling(tmp_path: Path, text: str, name: str) -> None:
    assert listed(tmp_path, text, name) == [
        {"name": "a.img", "size": 64 * 1024**2},
        {"name": "b.img", "size": 4096},
    ]


BAD_LISTS: list[tuple[str | bytes, str, int, str, Any]] = [
    ("", "disks.csv", 1, "number of disks", 0),
    ("name,size\n", "disks.csv", 1, "number of disks", 0),
    ("name;size\na;1\n", "disks.csv", 1, "header", "name;size"),
    ("name,size,colour\n", "disks.csv", 1, "header", "name,size,colour"),
    ("a.img,64M\n", "disks.csv", 1, "header", "a.img,64M"),
    ("name,size\na.img,64M\nb.img,lots\n", "disks.csv", 3, "size", "lots"),
    ("name,size\n\n../b.img,64M\n", "disks.csv", 3, "name", "../b.img"),
    ("name,size\na.img\n", "disks.csv", 2, "row", "a.img"),
    ("name,size\na.img,1,2\n", "disks.csv", 2, "row", "a.img,1,2"),
    ("name,size\na.img,1\na.img,2\n", "disks.csv", 3, "name", "a.img"),
    ('name,size\n"a.img,1\n', "disks.csv", 2, "row", "unexpected end of data"),
    (b"name,size\na.img,1\n\xff\xfe,1\n", "disks.csv", 3, "text", b"\xff"),
    ("name,size\n" + "a.img,1\n" * 140_000, "disks.csv", 1, "file size", 1_120_010),
    ("[]", "disks.json", 1, "number of disks", 0),
    ("{}", "disks.json", 1, "text", "dict"),
    ('[\n {"name": "a", "size": 1},\n]', "disks.json", 3, "text", "]"),
    ('[\n {"name": "a", "size": 1},\n {"name": "b", "size": 1.5}\n]', "disks.json", 3, "size", 1.5),
    ('[{"name": "a"}]', "disks.json", 1, "size", None),
    ('[\n"a"]', "disks.json", 2, "entry", "a"),
    ("name,size\n", "disks.txt", 1, "file name", "disks.txt"),
]


@pytest.mark.parametrize(("text", "name", "line", "column", "value"), BAD_LISTS)
def test_a_bad_list_is_refused_by_file_line_column_and_value(
    tmp_path: Path, text: str | bytes, name: str, line: int, column: str, value: object
) -> None:
    with pytest.raises(InvalidList) as caught:
        listed(tmp_path, text, name)
    error = caught.value
    assert (error.file, error.line, error.column, error.value) == (str(tmp_path / name), line, column, value)
    assert f"{name}, line {line}: {column} is " in str(error)
    assert error.allowed


def test_deep_nesting_is_refused_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(InvalidList, match="valid JSON"):
        listed(tmp_path, "[" * 200_000, "disks.json")


def test_a_list_for_more_than_one_job_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"disk-{number},1M\n" for number in range(MAX_DISKS + 1))
    with pytest.raises(InvalidList, match=f"number of disks is {MAX_DISKS + 1}; allowed: 1 to {MAX_DISKS}"):
        listed(tmp_path, f"name,size\n{rows}")


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        read_list(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    "error",
    [InvalidDisk("size", "x", "y"), DiskExists("a", "/d"), NothingCreated(2, "why"), InvalidList("f", 1, "c", 2, "a")],
)
def test_an_error_survives_the_way_back_to_the_client(error: DiskError) -> None:
    rebuilt = type(error)(*json.loads(json.dumps(error.args)))
    assert str(rebuilt) == str(error) == str(pickle.loads(pickle.dumps(error)))


def created(directory: Path, name: str = "a.img", size: int = 1024**2, maker: str = "job-1") -> Image:
    with new_image(Disk(name=name, size=size), directory, maker, lambda done: None) as image:
        return image


@pytest.mark.parametrize("size", [1, 511, 4096, 4097, 5_000_000, 20 * 1024**2])
def test_an_image_has_its_size_its_hash_and_holes(tmp_path: Path, size: int) -> None:
    image = created(tmp_path, size=size)
    path = tmp_path / "a.img"
    assert image == {"name": "a.img", "bytes": size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert path.stat().st_size == size
    assert path.stat().st_blocks * 512 <= 16 * 4096
    assert any(path.read_bytes())
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.img"]


def test_every_byte_read_is_reported(tmp_path: Path) -> None:
    created(tmp_path, size=40 * 1024**2)
    pieces: list[int] = []
    sha256(tmp_path / "a.img", pieces.append)
    assert pieces == [16 * 1024**2, 32 * 1024**2, 40 * 1024**2]


def test_the_same_disk_has_the_same_hash_and_another_name_another(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, other, again = created(tmp_path), created(tmp_path, "b.img"), created(tmp_path / "again")
    assert first["sha256"] == again["sha256"] != other["sha256"]


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.img").write_text("precious")
    (tmp_path / "b.img").symlink_to(tmp_path / "nowhere")
    for name in ("a.img", "b.img"):
        with pytest.raises(DiskExists, match=re.escape(f"{name} exists already in {tmp_path}")):
            created(tmp_path, name)
    assert (tmp_path / "a.img").read_text() == "precious"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.img", "b.img"]


def test_what_the_file_system_refuses_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DiskFailed, match=r"a\.img cannot be created in .*: No such file"):
        created(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_was_not_written_down_is_taken_back(tmp_path: Path) -> None:
    def interrupted() -> None:
        with new_image(Disk(name="a.img", size=4096), tmp_path, "job-1", lambda done: None):
            assert (tmp_path / "a.img").exists()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_same_job_takes_up_what_its_killed_run_left_and_another_job_does_not(tmp_path: Path) -> None:
    disk = Disk(name="a.img", size=4096)
    unfinished = new_image(disk, tmp_path, "job-1", lambda done: None)
    unfinished.__enter__()
    with pytest.raises(DiskExists):
        created(tmp_path, size=4096, maker="job-2")
    assert created(tmp_path, size=4096, maker="job-1")["bytes"] == 4096
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.img"]


def entries(*names: str) -> list[Disk]:
    return [Disk(name=name, size=4096) for name in names]


def test_a_batch_goes_on_where_its_checkpoint_ends(tmp_path: Path) -> None:
    job = current(None, "disks")
    first = Batch(job, entries("a.img", "../b", "c.img"), tmp_path)
    for entry in first.rest()[:2]:
        first.handle(entry)
    second = Batch(job, entries("a.img", "../b", "c.img"), tmp_path)
    assert second.rest() == entries("c.img")
    second.handle(second.rest()[0])
    assert [image["name"] for image in second.conclusion()] == ["a.img", "c.img"]
    assert job.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert job.message.startswith("2 of 3 disks created, 8,192 bytes; skipped: '../b': name is '../b'; allowed: ")


def test_many_reasons_are_counted_and_the_first_ones_said(tmp_path: Path) -> None:
    job = current(None, "disks")
    batch = Batch(job, entries("a.img", *["a.img"] * 8), tmp_path)
    for entry in batch.rest():
        batch.handle(entry)
    batch.conclusion()
    assert job.message.count("a.img exists already") == REASONS_SHOWN
    assert job.message.endswith("; and 3 more")


@pytest.mark.parametrize("disks", [None, "a.img", {}, [], entries("a.img") * (MAX_DISKS + 1)])
def test_a_batch_is_a_list_of_some_disks(tmp_path: Path, disks: Any) -> None:
    with pytest.raises(InvalidDisk, match="disks is"):
        Batch(current(None, "disks"), disks, tmp_path)


def test_a_batch_of_nothing_but_bad_entries_fails(tmp_path: Path) -> None:
    batch = Batch(current(None, "disks"), entries("../a"), tmp_path)
    batch.handle(batch.rest()[0])
    with pytest.raises(NothingCreated, match=r"none of 1 disks was created: '\.\./a'"):
        batch.conclusion()


def test_the_task_works_as_a_plain_function(tmp_path: Path) -> None:
    app.finalize()
    images = create_disks(entries("a.img", "b.img"), str(tmp_path / "images"))
    assert [image["name"] for image in images] == ["a.img", "b.img"]
    assert create_disk("c.img", "1K", str(tmp_path))["bytes"] == 1024
