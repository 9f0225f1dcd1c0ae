"""The only code that talks to Redis: README.md here is the data model, lua/ the verbs."""

from jobkit.store.jobs import Claim, End, JobStore, Limits, Plan, Settled, Verdict

__all__ = ["Claim", "End", "JobStore", "Limits", "Plan", "Settled", "Verdict"]
