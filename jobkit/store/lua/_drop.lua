-- Take a job out of the indexes of its owner and tags.
local function unlist(job)
  if job.owner then redis.call("ZREM", key("owner", job.owner), job.id) end
  for tag in (job.tags or ""):gmatch("[^\n]+") do redis.call("ZREM", key("tag", tag), job.id) end
end

-- Take its record away: it waits for nothing, owes nothing, expires no more.
local function wipe(job)
  if job.after then redis.call("SREM", key("after", job.after), job.id) end
  for _, kind in ipairs({"due", "outbox", "ended"}) do redis.call("ZREM", key(kind), job.id) end
  redis.call("DEL", job.key)
end

-- Take it out of everything.
local function drop(job)
  if job.state then redis.call("ZREM", key("state", job.state), job.id) end
  unlist(job)
  wipe(job)
end
