-- include: _bonds
-- Tell a running job to end, and its worker so; the state it cannot reach if it cannot.
local function tell(job, steps, at, op, by, reason, grace)
  local targets, blocked = walk(job.state, steps)
  if not targets then return blocked end
  record(job, targets, at, op, by, reason)
  save(job, at)
  -- What it has planned for itself; what others have asked for meanwhile is theirs.
  if job.next and has(GRAPH().unwanted, job.state) and cjson.decode(job.next).own then
    redis.call("HDEL", job.key, "next")
  end
  redis.call("ZREM", key("deadlines"), job.id)
  if job.bonds then bonds().told(job, at, op, by) end
  if job.worker == "" then return end -- its body is done
  if grace == "" then grace = redis.call("HGET", job.key, "grace") or 60000 end
  local orders = key("orders", job.worker or "")
  redis.call("RPUSH", orders, table.concat({job.id, job.run, grace}, "\t"))
  redis.call("PEXPIRE", orders, 3600000)
end
