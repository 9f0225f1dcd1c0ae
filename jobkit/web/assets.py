"""The files the pages are made of."""

from __future__ import annotations

from pathlib import Path

from tornado.web import StaticFileHandler

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
STATIC = HERE / "static"


class JobsStatic(StaticFileHandler):
    """jobkit's own style sheet and script."""

    @classmethod
    def arguments(cls) -> dict[str, str]:
        """What a URL of this handler is built with."""
        return {"path": str(STATIC)}

    @classmethod
    def version(cls, name: str) -> str:
        """A hash of the file, for its address: browsers may keep it until it changes."""
        return cls.get_version({"static_path": str(STATIC)}, name) or ""
