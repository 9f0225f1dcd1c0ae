-- flags: allow-oom
-- include: _drop
-- include: _bonds
-- include: _hold
-- include: _birth
-- include: _next
-- include: _definition
-- include: _history
-- include: _again
-- rarely: came_of, bonds, conclude, message_of, begin_next, owe, release, wishes, pin, wait_for, evict
--[[ finish: end a run; store its result, begin its next run if there is one, release who waits for it, tell the waiting.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 reason  5 run, "" if the manager ends it  6 token  7 worker, for a dead child's parent
      8 steps of the end  9 steps of a job without a record, or ""  10 steps of the restart, if a next run is known
      11 steps of the births, see create  12 states of an ended or restarted run
      13 steps of a release now  14 later  15 message for Celery's clients, or ""  16 how long to keep the ended job, and limits, see _retain
      17 fields to drop, comma separated  18 ms until somebody else may publish what is owed
      19 ms until it is to run again with what it has, "never" without a start, "" if it is not
      20 "1" if the job is still to be told of its end, "2" if who ends it does so now  21.. fields and values
Returns {code, state and number of the ended run, id, run and message of each job to publish, or 0 and "" for one whose
      family is to be looked at…}:
      ok | again | refused | fenced | missing ]]
local id, op, by, reason, run = unpack(ARGV, 1, 5)
local job, at = load(id), clock()
if seen(job, op) then return {"again", came_of(job, op)} end
local steps, fields, born = ARGV[8], {unpack(ARGV, 21)}, not job.state
if born then
  if ARGV[9] == "" then return {"missing", "", 0} end
  steps, job.run = ARGV[9], tonumber(run) or 1
  add(fields, "submitted", at)
elseif run ~= "" and (tonumber(run) ~= job.run or job.worker and not holds(job, ARGV[6], ARGV[7])) then
  return {"fenced", job.state, job.run}
end
local targets, blocked = walk(job.state or "", steps)
if not targets or #targets == 0 then return {"refused", job.state or "", job.run, blocked or "an end"} end
if job.bonds and ARGV[19] == "" then
  local held = bonds().hold_end(job, targets, ARGV, at, op, by, reason, fields)
  if held then return held end
end
record(job, targets, at, op, by, reason, born)
local reply, message = {"ok", job.state, job.run}, ARGV[15]
if definition_of(id) then conclude(job, definition_of(id), at, fields) end
job.telling = ARGV[20] == "2"
if job.telling then redis.call("SADD", key("held", ARGV[7]), id) -- until it is told
elseif job.worker then redis.call("SREM", key("held", job.worker), id) end
if message ~= "" then add(fields, "meta", message) end
if ARGV[20] ~= "0" then add(fields, "hook", job.run) end

-- Without a message there is nothing to run it again with.  One that was paused has to go on first, when it is resumed:
-- the run that was asked for meanwhile stays behind it.
local idle = ARGV[19] == "never"
if ARGV[19] ~= "" and (idle or not job.next) and message_of(job) then
  if job.next then add(fields, "next", job.next) end
  job.next = cjson.encode({start = idle and "" or tostring(at + ARGV[19]), idle = idle and "1" or "", fields = {}})
end
local restart = job.next and walk(job.state, ARGV[10])
if restart and #restart > 0 then
  record(job, restart, at, op, by, reason)
  reply[2] = job.state
  begin_next(job, ARGV[11], ARGV[12], at, op, by, ARGV[18], fields, reply)
  if job.bonds then bonds().end_now(job, at, op, by) end
else
  local limits = limits_of(ARGV[16])
  date(job, at, limits, fields)
  local dropped = {}
  for field in ARGV[17]:gmatch("[^,]+") do add(dropped, field) end
  redis.call("HDEL", job.key, unpack(dropped))
  save(job, at, fields)
  if not job.worker then
    -- It has not started: it may still be waited for.
    redis.call("ZREM", key("due"), id)
    redis.call("ZREM", key("outbox"), id)
  end
  retain(job, at, limits, ARGV[12])
  if ARGV[20] ~= "0" and message_of(job) then
    -- The queue brings it to a worker that can tell it, like a removal; at once, or if who ends it dies before.
    owe(job, at, ARGV[18])
    if ARGV[20] == "1" then add(reply, id, job.run, message_of(job)) end
  end
  if job.bonds then
    bonds().reply = reply
    bonds().end_now(job, at, op, by, job.state == bonds().G.well)
  end
  if job.followed then release(id, ARGV[13], ARGV[14], at, op, by, "has ended", ARGV[18], reply) end
end
if made then made.wake(at, op, by) end
if message ~= "" then redis.call("PUBLISH", job.key, message) end
return reply
