-- flags: allow-oom
-- include: _bonds
--[[ change_start: give a job that has not started another start time, in place; one that is over means now.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 reason  5 start, ms, "+ms" from now, or "" for now  6 steps if it lies ahead  7 if it is over
      8 if the job before it has not ended  9 states of an ended or restarted run  10 ms until somebody else may publish
Returns {code, state, run, id, run and message if it is to be published}: ok | again | refused | missing ]]
local id, op, by, reason, start = unpack(ARGV, 1, 5)
local job, at = load(id), clock()
if not job.state then return {"missing", "", 0} end
if seen(job, op) then return {"again", job.state, job.run} end
if start:sub(1, 1) == "+" then start = tostring(at + start) end
local ahead = start ~= "" and tonumber(start) > at
if job.bonds then
  local reply, B = {"ok"}, bonds()
  B.reply, job.start = reply, ahead and start or at
  local ready, missing = B.place(job, at, op, by, reason, {"start", job.start})
  if ready == nil then return {"refused", job.state, job.run, missing} end
  if ready then B.go(job, at) end
  table.insert(reply, 2, job.state)
  table.insert(reply, 3, job.run)
  return reply
end
local held = not ahead and held_by(job, ARGV[9])
local targets, blocked = walk(job.state, ahead and ARGV[6] or held and ARGV[8] or ARGV[7])
if not targets then return {"refused", job.state, job.run, blocked} end
record(job, targets, at, op, by, reason)
save(job, at, {"start", ahead and start or at})
redis.call("ZREM", key("due"), id)
if ahead then
  redis.call("ZADD", key("due"), start, id)
  redis.call("ZREM", key("outbox"), id)
  return {"ok", job.state, job.run}
end
if held then
  follow(job)
  return {"ok", job.state, job.run}
end
owe(job, at, ARGV[10])
return {"ok", job.state, job.run, id, job.run, message_of(job)}
