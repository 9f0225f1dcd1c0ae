-- flags: allow-oom
-- include: _bonds
--[[ suspend: take the planned start away; only a new start time wakes the job.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 reason  5 steps
Returns {code, state, run, id, run and message of each job to publish, or the blocked target}: ok | again | refused | missing ]]
local id, op, by, reason, steps = unpack(ARGV)
local job, at = load(id), clock()
if not job.state then return {"missing", "", 0} end
if seen(job, op) then return {"again", job.state, job.run} end
local targets, blocked = walk(job.state, steps)
if not targets then return {"refused", job.state, job.run, blocked} end
local reply = {"ok", targets[#targets], job.run}
if job.bonds then bonds().leave(job) end
record(job, targets, at, op, by, reason)
save(job, at)
redis.call("HDEL", job.key, "start")
redis.call("ZREM", key("due"), id)
redis.call("ZREM", key("outbox"), id)
if job.bonds then
  bonds().reply = reply
  bonds().wake(at, op, by)
end
return reply
