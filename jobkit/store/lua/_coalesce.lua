-- One more run of a job: of its own, or the one it has before it already.  Needs _drop, _bonds and _birth.

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

-- Have a run that waits for its start begin by then.
local function advance(job, start, t, at, op, by, reason)
  if tonumber(job.start) <= start then return {"joined", job.state, job.run} end
  local ready = start <= at
  job.start = start
  if job.bonds then
    ready = bonds().place(job, at, op, by, reason, {"start", start})
  else
    record(job, walk(job.state, ready and t.now or t.sooner), at, op, by, reason)
    save(job, at, {"start", start})
    if ready then redis.call("ZREM", key("due"), job.id) else redis.call("ZADD", key("due"), start, job.id) end
  end
  if not ready then return {"advanced", job.state, job.run} end
  owe(job, at, t.lease)
  return {"advanced", job.state, job.run, job.id, job.run, message_of(job)}
end

-- Have a job that runs run once more by then; it then begins anew, and not where this run stopped.
local function mark(job, start, at, op, fields)
  local plan = job.next and cjson.decode(job.next)
  if plan and (tonumber(plan.start) or 0) <= start then return {"joined", job.state, job.run} end
  local code = plan and "advanced" or "requeued"
  plan = plan or {op = op, after = "", idle = "", fields = fields, fresh = "1"}
  plan.start = start > at and tostring(start) or ""
  redis.call("HSET", job.key, "next", cjson.encode(plan))
  return {code, job.state, job.run}
end

-- A job that has not ended: what becomes of the wish that it runs by `start`.
local function join(job, start, t, at, op, by, reason, fields)
  if job.state == t.later then return advance(job, start, t, at, op, by, reason) end
  if job.state == t.idle then return {"refused", job.state, job.run, "suspended"} end
  if has(t.unstarted, job.state) then return {"joined", job.state, job.run} end
  return mark(job, start, at, op, fields)
end

-- What a definition remembers of a slot: how often it fired or not, and the last ten times.
local function note_slot(own, code, slot, late)
  if code == "skipped" then return redis.call("HINCRBY", own, "skipped", 1) end
  redis.call("HINCRBY", own, "fired", 1)
  local fires, times = slot .. "," .. math.max(0, late) .. ";" .. (redis.call("HGET", own, "fires") or ""), 0
  for place in fires:gmatch("();") do
    times = times + 1
    if times == 10 then fires = fires:sub(1, place) end
  end
  redis.call("HSET", own, "fires", fires)
end
