-- Blocks: a host that is away, and whatever else is held back: a task, a queue, an owner, a definition.
local HELD_BY = {"host", "task", "queue", "owner", "definition"}

local function block_rules(B)
  -- The block that holds a job back, as "kind name"; nil if none does.  One that is being lifted begins with ~.
  function B.block_of(job)
    local names = {}
    for _, kind in ipairs(HELD_BY) do
      if (job[kind] or "") ~= "" then add(names, kind .. " " .. job[kind]) end
    end
    if #names == 0 then return nil end
    for i, text in ipairs(redis.call("HMGET", key("blocks"), unpack(names))) do
      if text and text:sub(1, 1) ~= "~" then return names[i] end
    end
  end

  function B.is_blocked(job, fields) return B.block_of(B.know(job, fields)) ~= nil end

  -- Behind a block jobs stand by queue time: when they were queued, or were to start.
  function B.hold_back(job, block, queued)
    job.blocked, job.bonds = block, (job.bonds or "") .. "B"
    redis.call("ZADD", key("blocked", block), queued, job.id)
    redis.call("HSET", job.key, "blocked", block, "bonds", job.bonds)
  end

  function B.leave_block(job)
    if not job.blocked then return end
    redis.call("ZREM", key("blocked", job.blocked), job.id)
    job.blocked, job.bonds = nil, job.bonds:gsub("B", "")
    redis.call("HDEL", job.key, "blocked")
    if job.bonds == "" then redis.call("HDEL", job.key, "bonds") else redis.call("HSET", job.key, "bonds", job.bonds) end
  end
end
