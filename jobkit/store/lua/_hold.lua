-- include: _retain
-- Ended jobs that may not go yet: of a family that lives, pinned, or not read.
local UNREAD = 86400000 -- ms a job that is to be kept until it is read waits for that
local KIN = {jobs = 100000, ms = 86400000} -- ended jobs a family holds back at most, and for how long

-- Pin a job; false if it was pinned already, by whomever.
local function pin(id, pinner, till, owner)
  redis.call("ZADD", key("pins", id), till, pinner)
  local new = redis.call("ZADD", key("pinned"), "GT", till, id) == 1
  if new then redis.call("HINCRBY", key("pinners"), owner, 1) end
  return new
end

-- Its end is dated: it expires so long after it or, of a family, after the end of that.
local function date(job, at, limits, fields)
  add(fields, "ended", digits(at))
  if not job.retain then return add(fields, "expires", digits(at + limits.keep)) end
  local keep, _, kin = wishes(job.retain)
  limits.keep = keep or limits.keep
  if kin ~= "" then add(fields, "keep", limits.keep) else add(fields, "expires", at + limits.keep) end
end

-- These ended jobs of a family wait for it no longer; what is pinned waits on.
local function seal(ids, base, at, limits)
  for _, id in ipairs(ids) do
    local job = {id = id, key = key("job", id)}
    local keep, owner = unpack(redis.call("HMGET", job.key, "keep", "owner"))
    -- An older entry of an id that was used again has none, or that of its newer one.
    if keep then
      job.owner = owner or nil
      redis.call("HSET", job.key, "expires", base + keep)
      redis.call("HDEL", job.key, "keep")
      if not redis.call("ZSCORE", key("pinned"), id) then enlist(job, base + keep, at, limits) end
    end
  end
end

-- One of a family has ended: it waits for the others.
local function wait_for(kin, job, at, limits)
  local held = redis.call("RPUSH", key("kin", kin), job.id)
  if redis.call("HINCRBY", key("family", kin), "live", -1) <= 0 then
    redis.call("HSET", key("family", kin), "ended", at)
    redis.call("ZADD", key("families"), at + math.min(limits.least, limits.keep), kin)
  end
  -- A tree that never ends must not keep all it ever was.
  for more = 0, 1 do
    local first = redis.call("LINDEX", key("kin", kin), 0)
    local ended = first and redis.call("HGET", key("job", first), "ended")
    if not first or (held - more <= KIN.jobs and ended and at - ended <= KIN.ms) then break end
    seal(redis.call("LPOP", key("kin", kin), 1), at, at, limits)
  end
end

-- A job has ended: it is held back, or takes its place among those that may go; where there are too many, some go.
local function retain(job, at, limits, over)
  if job.retain then
    local _, flags, kin = wishes(job.retain)
    if flags == "u" then pin(job.id, "reader", at + UNREAD, job.owner or "") end
    if kin ~= "" then return wait_for(kin, job, at, limits) end
    if redis.call("ZSCORE", key("pinned"), job.id) then return end
  end
  local jobs = enlist(job, at + limits.keep, at, limits)
  -- Few at a time: an end costs the same however many there are, and what is too much goes in the next ones.
  if jobs > limits.jobs then evict(math.min(2, jobs - limits.jobs), at, "cap", limits, over) end
  if limits.bytes then evict(4, at, "bytes", limits, over) end
end
