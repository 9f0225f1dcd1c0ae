"""The only code that talks to Redis: README.md here is the data model, lua/ the verbs."""

from jobkit.store.jobs import JobStore
from jobkit.store.values import Claim, End, Limits, Plan, Put, Settled, Verdict

__all__ = ["Claim", "End", "JobStore", "Limits", "Plan", "Put", "Settled", "Verdict"]
