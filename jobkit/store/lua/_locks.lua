-- Locks, semaphores and rates: what a job declared, whether it may have it, and its place in the line.

-- "kind most period name" per line: x for at most so many holders, s for any number that share, r for so many a period.
local function declared(job, only)
  local wants = {}
  for kind, most, period, name in (job.locks or ""):gmatch("(%l) (%d+) (%d+) ([^\n]+)") do
    if name == (only or name) then
      add(wants, {kind = kind, most = tonumber(most), period = tonumber(period), name = name, member = kind .. job.id})
    end
  end
  return wants
end

local function lock_rules(B)
  -- Who holds locks, or works for somebody that does, goes first: who stands before him may wait for these.
  function B.goes_first(job) return job.inherits or job.locked end

  -- How many have their turn before it; nil if one of them must not be passed: who shares minds only who does not.
  local function ahead(job, want)
    if B.goes_first(job) then return 0 end
    local line = key("waiters", want.name)
    local rank = redis.call("ZRANK", line, want.member) or redis.call("ZCARD", line)
    if want.kind ~= "s" or rank == 0 then return rank end
    if rank > 100 then return nil end
    for _, other in ipairs(redis.call("ZRANGE", line, 0, rank - 1)) do
      if other:sub(1, 1) ~= "s" then return nil end
    end
    return 0
  end

  local function has_room(job, want, at)
    local before = ahead(job, want)
    if want.kind == "r" then
      return redis.call("ZCOUNT", key("rate", want.name), "(" .. at - want.period, "+inf") + before < want.most
    end
    local lock = key("lock", want.name)
    local kind = redis.call("HGET", lock, "")
    if not before or kind and kind ~= want.kind then return false end
    -- One field of the hash is no holder.
    return kind == "s" or math.max(redis.call("HLEN", lock) - 1, 0) + before < want.most
  end

  -- May it have all it declared?  What it has from an earlier run it keeps; a rate counts every run.
  function B.is_free(job, at)
    for _, want in ipairs(declared(job)) do
      if (want.kind == "r" or not job.locked) and not has_room(job, want, at) then return false end
    end
    return true
  end
end
