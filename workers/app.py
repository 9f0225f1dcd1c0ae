"""The Celery application, made a jobkit application by its last line.

The environment says where Redis is: ``CELERY_BROKER_URL`` and ``CELERY_RESULT_BACKEND``, both
``redis://localhost:6379/0`` where they are not set.  Every module of `workers.jobs` is loaded.
"""

from __future__ import annotations

import os
import pkgutil

from celery import Celery

from jobkit import JobKit
from workers import jobs as job_modules

LOCAL_REDIS = "redis://localhost:6379/0"

app = Celery(
    "workers",
    broker=os.environ.get("CELERY_BROKER_URL", LOCAL_REDIS),
    backend=os.environ.get("CELERY_RESULT_BACKEND", LOCAL_REDIS),
    include=[module.name for module in pkgutil.iter_modules(job_modules.__path__, f"{job_modules.__name__}.")],
)
jobs = JobKit(app)
