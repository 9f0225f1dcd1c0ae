-- The end of a run that has to wait: for children, for what its failure undoes.  Needs _family.

local function end_rules(B, G)
  local function leads(state, target)
    for row in G.ends:gmatch("[^;]+") do
      local sources, into = row:match("^(.*)>(.*)$")
      if into == target and has(sources, state) then return true end
    end
  end

  -- Keep the end of this run until nothing is left to wait for; nil if there is nothing.  The run is nobody's then: its
  -- token is new, and in the record alone.
  function B.hold_end(job, targets, args, at, op, by, reason, fields)
    B.know(job)
    local target, now = targets[#targets], given(fields)
    local well, alive = target == G.well, tonumber(job.alive or 0)
    if job.ending or not job.bonds:find("[CR]") or job.next and not well then return nil end
    local undo = not well and redis.call("EXISTS", key("rollback", job.id)) == 1
    if alive == 0 and not undo and not now.deferred then return nil end
    targets[#targets] = nil
    record(job, targets, at, op, by, reason)
    local waits = alive > 0 or well
    local there = walk(job.state, waits and G.await_children or G.roll_back)
    if there and (not waits or leads(there[1], target)) then
      record(job, there, at, op, by, reason)
      if waits and tonumber(job.busy or 0) > 0 then record(job, walk(job.state, G.child_started), at, op, by, "a child runs") end
    end
    redis.call("SREM", key("held", job.worker or ""), job.id)
    save(job, at, {"token", "=" .. op, "worker", "", "endmeta", args[10], "ending",
                   cjson.encode({target = target, fields = fields})})
    B.reply = {"ok", job.state, job.run}
    B.call_on(job.id, at)
    B.moved(job, at, op, by)
    return B.reply
  end

  -- It was told to end, and with it all below; if its body is done already, nobody else will say that it was.
  function B.told(job, at, op, by)
    B.know(job)
    B.moved(job, at, op, by)
    if has(G.stopping, job.state) and job.bonds:find("C", 1, true) then B.call_on(job.id, at) end
    if job.ending and has(G.stopping, job.state) then redis.call("HSET", job.key, "told", job.state) end
  end

  -- It has ended, or begins its next run: what was kept for its end goes.
  function B.end_now(job, at, op, by, well)
    B.know(job)
    redis.call("HDEL", job.key, "ending", "endmeta", "below", "told")
    if well == nil then
      redis.call("HDEL", job.key, "failed")
    else
      B.let_go(job)
      redis.call("HDEL", job.key, "then")
      redis.call("DEL", key("rollback", job.id))
      redis.call("ZREM", key("unsettled"), job.id)
    end
    B.moved(job, at, op, by)
    if well ~= nil then B.leave_parent(job, at, well) end
  end
end
