-- include: _retain
-- What is held back no longer.

-- It was to be kept until it is read, and was: its time counts from now.
local function was_read(id, at)
  local ended, expires, retain = unpack(redis.call("HMGET", key("job", id), "ended", "expires", "retain"))
  if not retain then return end
  local keep, _, kin = wishes(retain)
  redis.call("HSET", key("job", id), "retain", (keep or "") .. "||" .. kin)
  if expires then redis.call("HSET", key("job", id), "expires", at + expires - ended) end
end

-- A pin of it is over: it stays as long as another lasts; then it takes its place among those that may go.
local function unhold(id, at, over, limits)
  redis.call("ZREMRANGEBYSCORE", key("pins", id), "-inf", at)
  local last = redis.call("ZRANGE", key("pins", id), -1, -1, "WITHSCORES")[2]
  if last then return redis.call("ZADD", key("pinned"), last, id) end
  local job = remains(id)
  unpinned(job)
  if job.state and job.expires and has(over, job.state) then enlist(job, tonumber(job.expires), at, limits) end
end
