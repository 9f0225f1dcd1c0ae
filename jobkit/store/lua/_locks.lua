-- Locks, semaphores and rates: what a job declared, whether it may have it, and its place in the line.

-- "kind most period name" per line: x for at most so many holders, s for any number that share, r for so many a period.
local function declared(job)
  local wants = {}
  for kind, most, period, name in (job.locks or ""):gmatch("(%l) (%d+) (%d+) ([^\n]+)") do
    add(wants, {kind = kind, most = tonumber(most), period = tonumber(period), name = name, member = kind .. job.id})
  end
  return wants
end

local function lock_rules(B)
  -- Those in front of it have their turn first; who shares does not mind others who do.
  local function is_next(job, want)
    if job.inherits then return true end
    local before = redis.call("ZRANGE", key("waiters", want.name), 0, want.kind == "s" and 99 or 0)
    for _, other in ipairs(before) do
      if other == want.member then return true end
      if want.kind ~= "s" or other:sub(1, 1) ~= "s" then return false end
    end
    return #before < 100
  end

  local function has_room(want, at)
    if want.kind == "r" then
      return redis.call("ZCOUNT", key("rate", want.name), "(" .. at - want.period, "+inf") < want.most
    end
    local kind, lock = redis.call("HGET", key("lock", want.name), ""), key("lock", want.name)
    -- One field of the hash is no holder.
    return not kind or kind == want.kind and (kind == "s" or redis.call("HLEN", lock) <= want.most)
  end

  -- May it have all it declared?  What it has from an earlier run it keeps; a rate counts every run.
  function B.is_free(job, at)
    for _, want in ipairs(declared(job)) do
      if (want.kind == "r" or not job.locked) and not (has_room(want, at) and is_next(job, want)) then return false end
    end
    return true
  end
end
