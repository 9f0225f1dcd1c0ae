-- Where a run waits, and when it goes.
local MORE = {"locks", "locked", "host", "task", "queue", "definition", "blocked",
              "up", "upon", "parent", "alive", "busy", "ending", "then"}

local function place_rules(B, G)
  -- Read what the verbs of a job with bonds look at; `fields` are about to be written.
  function B.know(job, fields)
    if not job.known then
      for i, value in ipairs(redis.call("HMGET", job.key, unpack(MORE))) do job[MORE[i]] = value or nil end
      job.definition = job.definition or job.id:match("^@([^~]+)")
      job.known, job.inherits = true, (job.bonds or ""):find("I", 1, true)
    end
    for i = 1, #(fields or {}), 2 do job[fields[i]] = fields[i + 1] end
    return job
  end

  -- It goes: somebody publishes its message.
  function B.go(job, at)
    -- Who goes first is published first, also by a keeper.
    B.gone = (B.gone or 0) + 0.001
    owe(job, at, (B.reply and G.lease or -1) + B.gone)
    if B.reply then add(B.reply, job.id, job.run, message_of(job)) end
  end

  -- It leaves the place where it waited, and gives back locks nothing was done with yet.
  function B.leave(job)
    B.know(job)
    redis.call("ZREM", key("due"), job.id)
    B.leave_line(job)
    B.leave_block(job)
    local run = (job.locked or ""):match("^%d+")
    if run == tostring(job.run) and walk(job.state, G.claim) then B.give_back(job) end
  end

  -- It waits for nothing any more, and holds nothing.
  function B.let_go(job)
    B.leave_line(B.know(job))
    B.leave_block(job)
    B.give_back(job)
  end

  -- Put a run where it belongs: behind a block, a start, a job, a lock, or into the queue.  True if it may go; else
  -- false, or nil and a state it cannot reach.
  function B.place(job, at, op, by, reason, fields, born)
    B.know(job, fields)
    local start, there, block = tonumber(job.start), "queue", B.block_of(job)
    if block then
      there = "block"
    elseif start and start > at then
      there = "later"
    elseif held_by(job, G.over) then
      there = "behind"
    elseif not B.is_free(job, at) then
      there = "lock"
    end
    local targets, missing = walk(born and "" or job.state, G[(born and "birth_" or "move_") .. there])
    if not targets then
      -- It may stay where it waits.
      local stays = (there == "lock" or there == "block") and G["move_" .. there]:match(">(.*)$") == job.state
      if not stays then return nil, missing end
      if block and block ~= job.blocked then
        B.leave_block(job)
        B.hold_back(job, block, at)
      end
      if fields and #fields > 0 then redis.call("HSET", job.key, unpack(fields)) end
      return false
    end
    if not born then
      B.leave(job)
      if there ~= "queue" then redis.call("ZREM", key("outbox"), job.id) end
    end
    local queued = not born and walk(job.state, G.claim) and tonumber(job.since)
    record(job, targets, at, op, by, reason, born)
    save(job, at, fields)
    if block then B.hold_back(job, block, queued or start or at) elseif there == "queue" then B.take_locks(job, at) elseif there == "lock" then B.enter_line(job, at)
    elseif there == "behind" then follow(job) else redis.call("ZADD", key("due"), job.start, job.id) end
    B.wake(at, op, by)
    return there == "queue"
  end
end
