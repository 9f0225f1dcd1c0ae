-- Let those go whose turn has come.  Needs _line.

local WAKES = 200 -- waiters one call looks at; a keeper goes on from there

local function wake_rules(B, G)
  -- When a rate lets the next one through; nil for what is no rate.
  local function opening(want, at)
    if want.kind ~= "r" then return nil end
    local past = redis.call("ZRANGE", key("rate", want.name), "(" .. at - want.period, "+inf", "BYSCORE", "WITHSCORES")
    local one = past[#past - 2 * want.most + 2]
    return one and one + want.period
  end

  local function look_again(name, when) redis.call("ZADD", key("openings"), "LT", when, name) end

  -- Once so many cannot go as may hold it, nobody behind them can either; who shares, or goes first anyway, is not counted.
  local function serve(name, at, op, by)
    local stuck = 0
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
        local want = declared(job, name)[1]
        local when = opening(want, at)
        if when then look_again(name, when) end
        if want.kind ~= "s" and not B.goes_first(job) then stuck = stuck + 1 end
        if stuck >= want.most then return end
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
