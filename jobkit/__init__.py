"""A job lifecycle for Celery: every job has a state you can see, a history you can read, an end you can count on."""

from jobkit.definitions import Answer, Definition, Enabled, Misfire, Overlap, Queued
from jobkit.errors import (
    BadRecord,
    DefinitionConflict,
    DefinitionUnknown,
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
    TooManyPins,
)
from jobkit.ext.app import JobKit
from jobkit.locks import Lock, Rate, Semaphore
from jobkit.model import Block, Ending, Execution, Failure, Job, LockState, LogLine, Page, Progress, Run, Transition
from jobkit.policy import Backoff, Policy
from jobkit.schedules import Schedule, schedule
from jobkit.states import Category, Outcome, State

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Backoff",
    "BadRecord",
    "Block",
    "Category",
    "Definition",
    "DefinitionConflict",
    "DefinitionUnknown",
    "Enabled",
    "Ending",
    "Execution",
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
    "Misfire",
    "NotSerializable",
    "Outcome",
    "Overlap",
    "Page",
    "PayloadError",
    "PayloadTooLarge",
    "Policy",
    "Progress",
    "Queued",
    "Rate",
    "Run",
    "Schedule",
    "Semaphore",
    "State",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
    "TooManyPins",
    "Transition",
    "schedule",
]
