-- flags: allow-oom
-- include: _drop
-- include: _bonds
-- include: _hold
-- include: _birth
-- include: _next
-- include: _definition
-- include: _history
-- include: _again
-- include: _spent
-- rarely: came_of, bonds, conclude, message_of, begin_next, owe, release, wishes, pin, wait_for, evict
--[[ finish: end a run; store its result, begin its next run if there is one, release who waits for it, tell the waiting.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 reason  5 run, "" if the manager ends it  6 token  7 worker, for a dead child's parent
      8 steps of the end  9 steps of a job without a record, or ""  10 message for Celery's clients, or ""
      11 how long to keep the ended job, and limits, see _retain  12 what nobody needs any more, see _spent, or ""
      13 ms until it is to run again with what it has, "never" without a start, "?" so unless its next run is there, "" if it is not
      14 "1" if the job is still to be told of its end, "2" if who ends it does so now  15.. fields and values
Returns {code, state and number of the ended run, id, run and message of each job to publish, or 0 and "" for one whose
      family is to be looked at…}:
      ok | again | refused | fenced | missing ]]
local id, op, by, reason, run = unpack(ARGV, 1, 5)
local job, at = load(id), clock()
if seen(job, op) then return {"again", came_of(job, op)} end
local steps, fields, born = ARGV[8], {unpack(ARGV, 15)}, not job.state
if born then
  if ARGV[9] == "" then return {"missing", "", 0} end
  steps, job.run = ARGV[9], tonumber(run) or 1
  add(fields, "submitted", at)
elseif run ~= "" and (tonumber(run) ~= job.run or job.worker and not holds(job, ARGV[6], ARGV[7])) then
  return {"fenced", job.state, job.run}
end
local targets, blocked = walk(job.state or "", steps)
if not targets or #targets == 0 then return {"refused", job.state or "", job.run, blocked or "an end"} end
if job.bonds and ARGV[13] == "" then
  local held = bonds().hold_end(job, targets, ARGV, at, op, by, reason, fields)
  if held then return held end
end
record(job, targets, at, op, by, reason, born)
local reply, message = {"ok", job.state, job.run}, ARGV[10]
if definition_of(id) then conclude(job, definition_of(id), at, fields) end
job.telling = ARGV[14] == "2"
if job.telling then redis.call("SADD", key("held", ARGV[7]), id) -- until it is told
elseif job.worker then redis.call("SREM", key("held", job.worker), id) end
if message ~= "" then add(fields, "meta", message) end
if ARGV[14] ~= "0" then add(fields, "hook", job.run) end

-- Without a message there is nothing to run it again with.  One that was paused has to go on first, when it is resumed:
-- the run that was asked for meanwhile stays behind it.
local idle = ARGV[13] == "never" or ARGV[13] == "?" and not job.next
if ARGV[13] ~= "" and (idle or not job.next) and message_of(job) then
  if job.next then add(fields, "next", job.next) end
  job.next = cjson.encode({start = idle and "" or tostring(at + ARGV[13]), idle = idle and "1" or "", fields = {}})
end
local restart = job.next and walk(job.state, RESTART)
if restart and #restart > 0 then
  record(job, restart, at, op, by, reason)
  reply[2] = job.state
  begin_next(job, BIRTHS, OVER, at, op, by, PUBLISH_LEASE, fields, reply)
  if job.bonds then bonds().end_now(job, at, op, by) end
else
  local limits = limits_of(ARGV[11])
  date(job, at, limits, fields)
  if ARGV[12] == "" then
    redis.call("HDEL", job.key, "token", "next", "logged", "note", "failure")
  else
    redis.call("HDEL", job.key, "token", "next", "logged", "note", "failure", spent(ARGV[12]))
  end
  save(job, at, fields)
  if not job.worker then
    -- It has not started: it may still be waited for.
    redis.call("ZREM", key("due"), id)
    redis.call("ZREM", key("outbox"), id)
  end
  retain(job, at, limits, OVER)
  if ARGV[14] ~= "0" and message_of(job) then
    -- The queue brings it to a worker that can tell it, like a removal; at once, or if who ends it dies before.
    owe(job, at, PUBLISH_LEASE)
    if ARGV[14] == "1" then add(reply, id, job.run, message_of(job)) end
  end
  if job.bonds then
    bonds().reply = reply
    bonds().end_now(job, at, op, by, job.state == bonds().G.well)
  end
  if job.followed then release(id, RELEASE, RELEASE_LATER, at, op, by, "has ended", PUBLISH_LEASE, reply) end
end
if made then made.wake(at, op, by) end
if message ~= "" then redis.call("PUBLISH", job.key, message) end
return reply
