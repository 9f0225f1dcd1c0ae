-- flags: allow-oom
-- include: _bonds
--[[ take: queue the jobs that are due, and hand out every message that is owed; nobody else gets it until the lease ends.
KEYS  1 base of the namespace
ARGV  1 operation  2 by  3 how many at most  4 lease, ms  5 steps of a start  6 steps if the job before it has not ended
      7 states of an ended or restarted run  8 states of a run whose message is owed
Returns {lease end, id, run, message, …} ]]
local op, by, most, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local at = clock()
local taken = {at + lease}
for _, id in ipairs(redis.call("ZRANGE", key("due"), "-inf", at, "BYSCORE", "LIMIT", 0, most)) do
  local job = load(id)
  local held = job.state and held_by(job, ARGV[7])
  local targets = job.state and walk(job.state, held and ARGV[6] or ARGV[5])
  if targets and job.bonds then
    if bonds().place(job, at, op, by, "its start time has come") then owe(job, at, 0) end
  elseif targets then
    record(job, targets, at, op, by, "its start time has come")
    save(job, at)
    if held then follow(job) else owe(job, at, 0) end
  end
  redis.call("ZREM", key("due"), id)
end
for _, id in ipairs(redis.call("ZRANGE", key("outbox"), "-inf", at, "BYSCORE", "LIMIT", 0, most)) do
  local state, run, message, hook = unpack(redis.call("HMGET", key("job", id), "state", "run", "message", "hook"))
  -- A run that was claimed, or told of its end, meanwhile had its message; its entry was left for here.
  if message and (has(ARGV[8], state) or hook == run) then
    redis.call("ZADD", key("outbox"), at + lease, id)
    add(taken, id, run, message)
  else
    redis.call("ZREM", key("outbox"), id)
  end
end
return taken
