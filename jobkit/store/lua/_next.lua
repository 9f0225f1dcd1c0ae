-- What follows the end of a run: its own next run, and the jobs that waited for it.

-- Start the next run from what was kept for it.
local function publish_next(job, birth, later, at, op, by, lease, fields, publish)
  local plan = cjson.decode(job.next)
  job.run = job.run + 1
  for _, value in ipairs(plan.fields) do fields[#fields + 1] = value end
  if plan.start ~= "" and tonumber(plan.start) > at then
    birth = later
    redis.call("ZADD", key("due"), plan.start, job.id)
    for _, value in ipairs({"start", plan.start}) do fields[#fields + 1] = value end
  else
    owe(job, at, lease)
    publish[1], publish[2] = job.id, job.run
  end
  record(job, walk("", birth), at, op, by, "next run", true)
  save(job, at, fields)
  if publish[1] then publish[3] = redis.call("HGET", job.key, "message") end
end

-- Let the jobs go that waited for this one.
local function release(id, ended, now, later, at, op, by, lease, publish)
  for _, waiting in ipairs(redis.call("SMEMBERS", key("after", id))) do
    local job = load(waiting)
    local ahead = job.start and tonumber(job.start) > at
    local targets = job.state and walk(job.state, ahead and later or now)
    if targets then
      record(job, targets, at, op, by, "job " .. id .. " has ended")
      save(job, at)
      if ahead then
        redis.call("ZADD", key("due"), job.start, waiting)
      else
        owe(job, at, lease)
        for _, value in ipairs({waiting, job.run, job.message}) do publish[#publish + 1] = value end
      end
    end
  end
  redis.call("DEL", key("after", id))
end
