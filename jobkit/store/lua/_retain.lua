-- include: _gone
-- How long ended jobs are kept, and in which order they go.
local LATE = 30000 -- ms after which every owner's list is looked at again: one job may be kept shorter than those before

-- "ms a job is kept;jobs held at most;ms none goes before;bytes held at most;entries;ms of what is known of those gone"
local function limits_of(text)
  local keep, jobs, least, bytes, entries, span = unpack(cut(text, ";"))
  return {keep = tonumber(keep), jobs = tonumber(jobs) or math.huge, least = tonumber(least),
          bytes = tonumber(bytes), entries = tonumber(entries), span = tonumber(span)}
end

-- Let at most so many go: the least recently used of the owner with the most.  Of bytes no more than is needed.
local function evict(most, at, why, limits, over)
  local victims, index = 0, why == "bytes" and key("weights") or key("owners")
  for _ = 1, most do
    if why == "bytes" and tonumber(redis.call("HGET", key("retention"), "bytes") or 0) <= limits.bytes then break end
    local owner = redis.call("ZREVRANGE", index, 0, 0)[1]
    if not owner then break end
    local id = redis.call("ZRANGE", key("ended", owner), 0, 0)[1]
    local job = remains(id, owner)
    if why == "cap" and job.ended and at - job.ended < limits.least then break end
    victims = victims + bury({job}, at, why, limits, over)
  end
  return victims
end

-- An ended job takes its place among those of its owner that may go; returns how many there are.
local function enlist(job, expires, at, limits)
  local owner, bytes = job.owner or "", 0
  if limits.bytes then
    bytes = redis.call("MEMORY", "USAGE", job.key, "SAMPLES", 0)
    redis.call("HSET", job.key, "bytes", bytes)
  end
  redis.call("PEXPIRE", job.key, digits(math.max(0, expires - at) + 60000))
  redis.call("ZADD", key("ended", owner), digits(expires), job.id)
  local total, count = tally(owner, 1, bytes)
  if count == 1 or expires - at < LATE then
    redis.call("ZADD", key("heads"), "LT", math.min(expires, at + LATE), owner)
  end
  return total
end
