"""A job lifecycle for Celery: every job has a state you can see, a history you can read, an end you can count on."""

from jobkit.errors import (
    BadRecord,
    Fenced,
    IllegalTransition,
    InvalidOption,
    JobExpired,
    JobkitError,
    JobNotFound,
    JobUnknown,
    NotSerializable,
    PayloadError,
    PayloadTooLarge,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from jobkit.ext.app import JobKit
from jobkit.locks import Lock, Rate, Semaphore
from jobkit.model import Ending, Failure, Job, LockState, LogLine, Page, Progress, Run, Transition
from jobkit.policy import Backoff, Policy
from jobkit.states import Category, Outcome, State

__version__ = "0.1.0"

__all__ = [
    "Backoff",
    "BadRecord",
    "Category",
    "Ending",
    "Failure",
    "Fenced",
    "IllegalTransition",
    "InvalidOption",
    "Job",
    "JobExpired",
    "JobKit",
    "JobNotFound",
    "JobUnknown",
    "JobkitError",
    "Lock",
    "LockState",
    "LogLine",
    "NotSerializable",
    "Outcome",
    "Page",
    "PayloadError",
    "PayloadTooLarge",
    "Policy",
    "Progress",
    "Rate",
    "Run",
    "Semaphore",
    "State",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
    "Transition",
]
