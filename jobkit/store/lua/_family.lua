-- Families: a parent ends after its children, and knows at every moment whether one of them runs.

local function family_rules(B, G)
  local function flag(job, letter)
    if (job.bonds or ""):find(letter, 1, true) then return end
    job.bonds = (job.bonds or "") .. letter
    redis.call("HSET", job.key, "bonds", job.bonds)
  end
  B.flag = flag

  -- Somebody looks what is next for this job: whoever caused it does so now, a keeper if he did not.
  function B.call_on(id, at)
    redis.call("ZADD", key("unsettled"), at + (B.reply and G.lease or 0), id)
    if B.reply then add(B.reply, id, 0, "") end
  end

  -- Put a child, or what a task sent by canvas, under its parent.
  function B.join(job, at)
    if job.up then
      local up = load(job.up)
      flag(up, "C")
      redis.call("ZADD", key("children", up.id), redis.call("HINCRBY", up.key, "spawned", 1), job.id)
      redis.call("HINCRBY", up.key, "alive", 1)
      if redis.call("HGET", up.key, "failed") == job.id then redis.call("HDEL", up.key, "failed") end
    elseif (job.parent or "") ~= "" then
      redis.call("ZADD", key("children", job.parent), at, job.id)
    end
  end

  -- Its record is made anew: a child that has not ended stays one.
  function B.renew(job, now, fields)
    B.let_go(job)
    if job.up and not now.up and not has(G.over, job.state) then
      now.bonds = (now.bonds or "") .. "P"
      add(fields, "up", job.up, "upon", job.upon, "bonds", now.bonds)
    end
  end

  -- It had ended, for its parent too, and runs once more on its own account.
  function B.grow_up(job)
    redis.call("HDEL", job.key, "up", "upon")
    B.know(job).up = nil
  end

  -- It is dropped: it leaves its parent, and its own children stay without one.
  function B.part(job)
    B.know(job)
    local over = job.up or job.parent
    if (over or "") ~= "" then redis.call("ZREM", key("children", over), job.id) end
    redis.call("DEL", key("children", job.id), key("rollback", job.id))
    redis.call("ZREM", key("unsettled"), job.id)
  end

  -- It went from where it stood to where it stands: does its parent have one more that runs, or one less?
  function B.moved(job, at, op, by)
    B.know(job)
    local was, is = has(G.busy, job.indexed or ""), has(G.busy, job.state)
    if not job.up or was == is then return end
    local up = load(job.up)
    local busy = redis.call("HINCRBY", up.key, "busy", is and 1 or -1)
    local targets = up.state and walk(up.state, busy > 0 and G.child_started or G.child_stopped)
    if not targets then return end
    record(up, targets, at, op, by, is and "child " .. job.id .. " runs" or "no child runs")
    save(up, at)
    if up.bonds:find("P", 1, true) then B.moved(up, at, op, by) end
  end

  -- Was a job above it told to end?  What undoes a job starts all the same, and so does all below that.
  local function is_doomed(job)
    local up, letters = B.know(job).up, job.bonds
    while up and not letters:find("K", 1, true) do
      local state, above, more, told, below =
        unpack(redis.call("HMGET", key("job", up), "state", "up", "bonds", "told", "below"))
      if not state then return false end
      if has(G.stopping, state) or told or below then return true end
      up, letters = above, more or ""
    end
    return false
  end

  -- It does not start any more: it is being removed now.
  function B.give_up(job, at, op, by)
    if not is_doomed(job) then return false end
    B.leave(job)
    record(job, walk(job.state, G.remove), at, op, by, "its parent was told to end")
    save(job, at)
    B.told(job, at, op, by)
    B.wake(at, op, by)
    return true
  end

  -- It has ended for good: its parent may be done now, or has to hear that it failed.
  function B.leave_parent(job, at, well)
    local up = job.up and load(job.up, "ending")
    if not up or not up.state then return end
    local left = redis.call("HINCRBY", up.key, "alive", -1)
    if not well and job.bonds:find("K", 1, true) then
      local failed = redis.call("HGET", up.key, "uncompensated")
      redis.call("HSET", up.key, "uncompensated", (failed and failed .. "\n" or "") .. job.id)
    end
    if not well and job.upon ~= "ignore" then
      redis.call("HSETNX", up.key, "failed", job.id)
      if job.upon == "abort_siblings" then
        redis.call("HSET", up.key, "below", "abort")
        B.call_on(up.id, at)
      end
    end
    if left == 0 and up.ending then B.call_on(up.id, at) end
  end
end
