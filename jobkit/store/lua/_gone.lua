-- include: _drop
-- What stays known of jobs whose record goes.
local LAST = {"state", "owner", "tags", "after", "outcome", "note", "ended", "expires", "submitted", "retain", "bonds"}

-- An ended job whose record may be gone: Redis itself may have taken it.
local function remains(id, owner)
  local job, values = {id = id, key = key("job", id)}, redis.call("HMGET", key("job", id), unpack(LAST))
  for i, field in ipairs(LAST) do job[field] = values[i] or nil end
  job.lost, job.owner = not job.state, job.owner or owner
  return job
end

-- The half of the book of those gone that is written to: when it is full or old the older half goes.
local function book(at, limits)
  local number, opened = unpack(redis.call("HMGET", key("retention"), "book", "opened"))
  number = tonumber(number or 0)
  if number == 0 or redis.call("HLEN", key("gone", number)) >= limits.entries / 2 or at - opened >= limits.span / 2 then
    if number > 1 then
      redis.call("UNLINK", key("gone", number - 1))
      redis.call("HSET", key("retention"), "lost", opened)
    end
    number, opened = number + 1, at
    redis.call("HSET", key("retention"), "book", number, "opened", at)
  end
  return key("gone", number), opened + limits.span - at
end

-- Drop these jobs, and write down what became of them.
local function bury(jobs, at, why, limits, over)
  if #jobs == 0 then return 0 end
  local oldest, entries = redis.call("HGET", key("retention"), "oldest") or at, {}
  for _, job in ipairs(jobs) do
    if job.lost then
      bonds().part(job)
      for state in over:gmatch("[^,]+") do
        local since = redis.call("ZSCORE", key("state", state), job.id)
        if since then job.state, job.ended = state, since end
      end
    end
    drop(job)
    oldest = math.min(oldest, job.submitted or job.ended or at)
    local reason = job.lost and "memory" or why
    add(entries, job.id, table.concat({job.state or "", job.outcome or "", job.ended or "", at, reason,
                                       (job.note or ""):sub(1, 200)}, "\t"))
  end
  local page, ms = book(at, limits)
  redis.call("HSET", page, unpack(entries))
  redis.call("PEXPIRE", page, math.max(1, ms))
  redis.call("HSET", key("retention"), "last", at, "oldest", string.format("%.0f", oldest))
  return #jobs
end
