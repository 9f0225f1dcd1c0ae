-- The line in front of locks: in, through, out.  Needs _locks.

local function line_rules(B)
  -- Names whose waiters are to be looked at.
  B.stirred = {}

  function B.leave_line(job)
    for _, want in ipairs(declared(job)) do
      if redis.call("ZREM", key("waiters", want.name), want.member) == 1 then B.stirred[want.name] = true end
    end
  end

  function B.take_locks(job, at)
    local wants = declared(job)
    if #wants == 0 then return end
    B.leave_line(job)
    local fence, held = redis.call("INCR", key("tickets")), false
    for _, want in ipairs(wants) do
      if want.kind == "r" then
        local rate = key("rate", want.name)
        redis.call("ZREMRANGEBYSCORE", rate, "-inf", at - want.period)
        redis.call("ZADD", rate, at, job.id .. " " .. job.run)
        redis.call("PEXPIRE", rate, want.period)
      elseif not job.locked then
        redis.call("HSET", key("lock", want.name), "", want.kind, job.id, fence)
        redis.call("SADD", key("locks"), want.name)
        held = true
      end
    end
    if held then
      job.locked = job.run .. " " .. fence
      redis.call("HSET", job.key, "locked", job.locked)
    end
  end

  function B.enter_line(job, at)
    local ticket = redis.call("INCR", key("tickets"))
    if B.goes_first(job) then ticket = ticket - 2 ^ 52 end
    for _, want in ipairs(declared(job)) do
      if want.kind == "r" or not job.locked then
        redis.call("ZADD", key("waiters", want.name), string.format("%.0f", ticket), want.member)
        redis.call("SADD", key("locks"), want.name)
        if want.kind == "r" then B.stirred[want.name] = true end
      end
    end
  end

  function B.give_back(job)
    if not job.locked then return end
    for _, want in ipairs(declared(job)) do
      local lock = key("lock", want.name)
      if redis.call("HDEL", lock, job.id) == 1 then
        if redis.call("HLEN", lock) == 1 then redis.call("DEL", lock) end
        B.stirred[want.name] = true
      end
    end
    job.locked = nil
    redis.call("HDEL", job.key, "locked")
  end
end
