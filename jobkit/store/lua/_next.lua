-- What follows the end of a run: its own next run, and the jobs that waited for it.  Needs _drop and _birth.

-- Start the next run from what was kept for it.
local function begin_next(job, births, over, at, op, by, lease, fields, reply)
  local plan = cjson.decode(job.next)
  local now = given(plan.fields)
  add(fields, unpack(plan.fields))
  redis.call("HDEL", job.key, "next", "token", "worker", "pid", "start", "after", "started", "progress", "note", "failure")
  -- What was asked for anew, and is no restart, does not go on where this run stopped.
  if plan.fresh then redis.call("HDEL", job.key, "checkpoint", "restarts") end
  list(job, now.owner or job.owner, now.tags or job.tags, at)
  if job.bonds or now.bonds then
    local B = bonds()
    B.reply = reply
    -- What is not given anew stays: its locks, its host, its parent.
    for letter in (now.bonds or ""):gmatch(".") do B.flag(job, letter) end
    if now.bonds then add(fields, "bonds", job.bonds) end
    if now.locks and now.locks ~= B.know(job).locks then B.let_go(job) end
  end
  local ready = begin(job, plan, births, over, at, plan.op or op, by, "next run", fields)
  -- Nothing has come of this run yet; what happened to the one before stays to be read until it starts.
  redis.call("HDEL", job.key, "outcome")
  if ready then
    owe(job, at, lease)
    add(reply, job.id, job.run, now.message or message_of(job))
  else
    redis.call("ZREM", key("outbox"), job.id)
  end
end

-- Let a job go that waited for another, or for its own last run.
local function go_on(job, now, later, at, op, by, reason, lease, reply)
  local ahead = job.start and tonumber(job.start) > at
  local targets = walk(job.state, ahead and later or now)
  if job.bonds then
    bonds().reply = reply
    if bonds().place(job, at, op, by, reason) then bonds().go(job, at) end
  elseif targets then
    record(job, targets, at, op, by, reason)
    save(job, at)
    if ahead then
      redis.call("ZADD", key("due"), job.start, job.id)
    else
      owe(job, at, lease)
      add(reply, job.id, job.run, message_of(job))
    end
  end
end

-- Let the jobs go that waited for this one.
local function release(id, now, later, at, op, by, reason, lease, reply)
  for _, waiting in ipairs(redis.call("SMEMBERS", key("after", id))) do
    local job = load(waiting)
    -- It may come after another job by now.
    if job.state and job.after == id then
      job.after = job.bonds and "" or job.after
      go_on(job, now, later, at, op, by, "job " .. id:gsub("%c", " ") .. " " .. reason, lease, reply)
    end
  end
  redis.call("DEL", key("after", id))
end
