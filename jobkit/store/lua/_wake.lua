-- Let those go whose turn has come.  Needs _line.

local WAKES = 200 -- waiters one call looks at; a keeper goes on from there

local function wake_rules(B, G)
  -- When a rate lets the next one through; nil for what is no rate.
  local function opening(job, name, at)
    for _, want in ipairs(declared(job)) do
      if want.name == name and want.kind == "r" then
        local past = redis.call("ZRANGE", key("rate", name), "(" .. at - want.period, "+inf", "BYSCORE", "WITHSCORES")
        local one = past[#past - 2 * want.most + 2]
        return one and one + want.period
      end
    end
  end

  local function look_again(name, when) redis.call("ZADD", key("openings"), "LT", when, name) end

  -- The first who cannot go holds up those behind; who shares, and who goes first anyway, holds up nobody.
  local function serve(name, at, op, by)
    for _, member in ipairs(redis.call("ZRANGE", key("waiters", name), 0, WAKES - 1)) do
      B.budget = B.budget - 1
      if B.budget < 0 then return look_again(name, at) end
      local job = B.know(load(member:sub(2)))
      local ready = job.state and B.place(job, at, op, by, "lock " .. name .. " is free")
      if ready then
        B.go(job, at)
      elseif ready == nil then
        redis.call("ZREM", key("waiters", name), member) -- it has gone
      else
        local when = opening(job, name, at)
        if when then look_again(name, when) end
        if member:sub(1, 1) ~= "s" and not job.inherits then return end
      end
    end
  end

  function B.wake(at, op, by)
    if B.waking then return end
    B.waking, B.budget = true, WAKES
    local name = next(B.stirred)
    while name do
      B.stirred[name] = nil
      serve(name, at, op, by)
      if redis.call("EXISTS", key("lock", name), key("waiters", name)) == 0 then redis.call("SREM", key("locks"), name) end
      name = next(B.stirred)
    end
    B.waking = false
  end
end
