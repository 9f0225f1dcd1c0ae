-- Tell a running job to end, and its worker so; the state it cannot reach if it cannot.
local function tell(job, steps, at, op, by, reason, grace)
  local targets, blocked = walk(job.state, steps)
  if not targets then return blocked end
  record(job, targets, at, op, by, reason)
  save(job, at)
  if grace == "" then grace = redis.call("HGET", job.key, "grace") or 60000 end
  local orders = key("orders", job.worker or "")
  redis.call("RPUSH", orders, table.concat({job.id, job.run, grace}, "\t"))
  redis.call("PEXPIRE", orders, 3600000)
  redis.call("ZREM", key("deadlines"), job.id)
end
