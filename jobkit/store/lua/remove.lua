-- flags: allow-oom
-- include: _bonds
--[[ remove: abort a job that has not started; the removal itself goes through the queue, so that the job can react.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 reason  5 steps  6 ms until somebody else may publish  7 state whose message is out
Returns {code, state, run, id, run and message of each job to publish, or the blocked target}:
      ok | again | refused | missing ]]
local id, op, by, reason, steps = unpack(ARGV, 1, 5)
local job, at = load(id), clock()
if not job.state then return {"missing", "", 0} end
if seen(job, op) then return {"again", job.state, job.run} end
local out = job.state == ARGV[7]
local targets, blocked = walk(job.state, steps)
if not targets then return {"refused", job.state, job.run, blocked} end
local reply = {"ok", targets[#targets], job.run}
if job.bonds then
  bonds().reply = reply
  bonds().leave(job)
end
record(job, targets, at, op, by, reason)
save(job, at)
redis.call("ZREM", key("due"), id)
if not out then
  owe(job, at, ARGV[6])
  add(reply, id, job.run, message_of(job))
end
if job.bonds then
  bonds().told(job, at, op, by)
  bonds().wake(at, op, by)
end
return reply
