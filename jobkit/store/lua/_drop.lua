-- include: _wishes
-- include: _bonds
-- Take a job out of the indexes of its owner and tags.
local function unlist(job)
  if job.owner then redis.call("ZREM", key("owner", job.owner), job.id) end
  for tag in (job.tags or ""):gmatch("[^\n]+") do redis.call("ZREM", key("tag", tag), job.id) end
end

-- Count an owner's ended jobs that may go, and all of them; bytes only where they are bounded.
local function tally(owner, jobs, bytes)
  local count = tonumber(redis.call("ZINCRBY", key("owners"), digits(jobs), owner))
  if count == 0 then
    redis.call("ZREM", key("owners"), owner)
    redis.call("ZREM", key("weights"), owner)
  elseif bytes ~= 0 then
    redis.call("ZINCRBY", key("weights"), bytes, owner)
  end
  if bytes ~= 0 then redis.call("HINCRBY", key("retention"), "bytes", bytes) end
  return redis.call("HINCRBY", key("retention"), "jobs", digits(jobs)), count
end

-- Take an ended job from among those that may go.
local function leave(job)
  local owner = job.owner or ""
  if redis.call("ZREM", key("ended", owner), job.id) == 0 then return end
  redis.call("ZREM", key("read"), job.id)
  tally(owner, -1, -(redis.call("HGET", job.key, "bytes") or 0))
end

-- An ended job lives again.
local function revive(job)
  redis.call("PERSIST", job.key)
  leave(job)
  redis.call("HDEL", job.key, "ended", "expires", "keep")
end

-- Take its record away: it waits for nothing, owes nothing.
local function wipe(job)
  if job.after then redis.call("SREM", key("after", job.after), job.id) end
  redis.call("ZREM", key("due"), job.id)
  redis.call("ZREM", key("outbox"), job.id)
  redis.call("DEL", job.key)
end

-- Take it out of everything.
local function drop(job)
  if job.state then redis.call("ZREM", key("state", job.state), job.id) end
  unlist(job)
  leave(job)
  if job.retain then unpinned(job) end
  if job.bonds then bonds().part(job) end
  wipe(job)
end
