-- include: _next
--[[ finish: end a run; store its result, plan its next run if there is one, release who waits for it, tell the waiting.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 reason  5 run, "" if the manager ends it  6 token  7 worker, for a dead child's parent
      8 steps of the end  9 steps of a job without a record, or ""  10 steps of the restart, if a next run is known
      11 steps of a birth now  12 later  13 states of an ended or restarted run
      14 steps of a release now  15 later  16 message for Celery's clients, or ""  17 ms to keep the ended job
      18 fields to drop, comma separated  19 ms until somebody else may publish what is owed
      20 "1" if it is to run again with what it has  21.. fields and values
Returns {code, state and number of the ended run, id, run and message of each job to publish…}: ok | again | refused | fenced | missing ]]
local id, op, by, reason, run = unpack(ARGV, 1, 5)
local job, at = load(id), clock()
if seen(job, op) then return {"again", job.state, job.run} end
local steps, fields, publish = ARGV[8], {unpack(ARGV, 21)}, {}
if not job.state then
  if ARGV[9] == "" then return {"missing", "", 0} end
  steps, job.run = ARGV[9], 1
  for _, value in ipairs({"submitted", at}) do fields[#fields + 1] = value end
elseif run ~= "" and (tonumber(run) ~= job.run or not holds(job, ARGV[6], ARGV[7])) then
  return {"fenced", job.state, job.run}
end
local targets, blocked = walk(job.state or "", steps)
if not targets or #targets == 0 then return {"refused", job.state or "", job.run, blocked or "an end"} end
local born = not job.state
record(job, targets, at, op, by, reason, born)
if job.worker then redis.call("SREM", key("held", job.worker), id) end
if ARGV[20] == "1" then job.next = job.next or '{"start": "", "fields": []}' end
local restart = job.next and walk(job.state, ARGV[10])
restart = restart and #restart > 0 and restart
if restart then record(job, restart, at, op, by, reason) end
if ARGV[16] ~= "" then
  redis.call("PUBLISH", job.key, ARGV[16])
  for _, value in ipairs({"meta", ARGV[16]}) do fields[#fields + 1] = value end
end

if restart then
  redis.call("HDEL", job.key, "next", "token", "worker", "pid", "start", "started", "progress")
  local ended, number = job.state, job.run
  publish_next(job, ARGV[11], ARGV[12], at, op, by, ARGV[19], fields, publish)
  return {"ok", ended, number, unpack(publish)}
end
for _, value in ipairs({"ended", at, "expires", at + ARGV[17]}) do fields[#fields + 1] = value end
save(job, at, fields)
for field in ARGV[18]:gmatch("[^,]+") do redis.call("HDEL", job.key, field) end
redis.call("ZREM", key("due"), id)
redis.call("ZREM", key("outbox"), id)
redis.call("ZADD", key("ended"), at + ARGV[17], id)
redis.call("PEXPIRE", job.key, ARGV[17] + 60000)
release(id, ARGV[13], ARGV[14], ARGV[15], at, op, by, ARGV[19], publish)
return {"ok", job.state, job.run, unpack(publish)}
