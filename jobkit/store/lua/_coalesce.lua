-- include: _launch
-- A run that is asked for, of a job that has one already: it is the same one, or the next.

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
