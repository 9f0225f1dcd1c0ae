-- A run that is asked for, of a job that has none.  Needs _drop, _bonds and _birth.

-- What every script that asks for a run is given, from ARGV[first] on: rows of the births, see create; lists of states
-- (ended or restarted; waiting for a start; without one; not started); rows of a new start and of none; publish lease.
local function terms(first)
  local t = {}
  t.births, t.over, t.later, t.idle, t.unstarted, t.sooner, t.now, t.lease = unpack(ARGV, first, first + 7)
  return t
end

local function live(job, t) return job.state and not has(t.over, job.state) end

-- Begin a run, as planned, and owe its message.
local function launch(job, plan, t, at, op, by, reason, fields)
  renew(job, fields, {"log", "followed", "hook"}, at)
  local ready = begin(job, plan, t.births, t.over, at, op, by, reason, fields)
  if made then made.wake(at, op, by) end
  if not ready then return {"queued", job.state, job.run} end
  owe(job, at, t.lease)
  return {"queued", job.state, job.run, job.id, job.run, given(fields).message}
end
