"""The app as a worker runs it: ``celery -A tests.chaos.worker worker``."""

from __future__ import annotations

import json
import os

from tests.chaos import failpoints
from tests.chaos.app import CONFIG, make

config = json.loads(os.environ[CONFIG])
app = make(config)
if "failpoint" in config:
    failpoints.arm(config["failpoint"])
