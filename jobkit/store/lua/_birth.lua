-- How a run begins: listed under its owner and tags, and waiting for what it has to wait for.  Needs _drop.

-- List the job under this owner and these tags, and no longer under others.
local function list(job, owner, tags, at)
  if owner == job.owner and tags == job.tags then return end
  unlist(job)
  job.owner, job.tags = owner, tags
  if owner then redis.call("ZADD", key("owner", owner), at, job.id) end
  for tag in (tags or ""):gmatch("[^\n]+") do redis.call("ZADD", key("tag", tag), at, job.id) end
end

-- A new plan makes a new record: of the old one only its past and the fields in `kept` go on.  Needs _bonds.
local function renew(job, fields, kept, at)
  local now = given(fields)
  if job.state then leave(job) end
  if job.retain and not now.retain then add(fields, "retain", "||") end -- whoever pinned it holds it still
  list(job, now.owner, now.tags, at)
  add(fields, "submitted", job.submitted or at)
  if job.bonds then bonds().renew(job, now, fields) end
  job.bonds, job.known = now.bonds, nil
  if not job.state then return end
  for _, field in ipairs(kept) do
    local value = redis.call("HGET", job.key, field)
    if value then add(fields, field, value) end
  end
  wipe(job)
end

-- Begin the next run of a job, as planned; true if it is ready.  `births` are the rows of one that is ready, has its
-- start ahead, comes after another job, has no start.  Needs _bonds.
local function begin(job, plan, births, over, at, op, by, reason, fields)
  local ready, later, behind, idle = unpack(cut(births, ";"))
  local birth, start = ready, tonumber(plan.start)
  if job.after then redis.call("SREM", key("after", job.after), job.id) end
  job.run, job.after = job.run + 1, plan.after
  if job.bonds and plan.idle ~= "1" then
    job.start = plan.start
    if start then add(fields, "start", plan.start) end
    if (job.after or "") ~= "" then add(fields, "after", job.after) end
    return bonds().place(job, at, op, by, reason, fields, true)
  end
  if plan.idle == "1" then
    birth, start = idle, nil
  elseif held_by(job, over) then
    birth = behind
    follow(job)
  elseif start and start > at then
    birth = later
    redis.call("ZADD", key("due"), plan.start, job.id)
  end
  if start then add(fields, "start", plan.start) end
  if (job.after or "") ~= "" then add(fields, "after", job.after) end
  record(job, walk("", birth), at, op, by, reason, true)
  save(job, at, fields)
  return birth == ready
end
