-- include: _drop
-- include: _bonds
-- include: _birth
-- include: _kin
-- rarely: bonds, leave, unlist, wipe, follow, wishes, family_of, part, rejoin
--[[ create: record a job, or a new run of it, before its message is published; or with it, where its queue is here too.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 reason  5 start, ms, "+ms" from now, or ""  6 predecessor's id or ""  7 "1" to wait without a start
      8 steps of the births: ready; later; behind another; without a start  9 steps of "replace"
      10 states of an ended or restarted run  11 token of the run that plans its own next one, or ""
      12 the queue its message is put in if it is ready, or ""  13 that message, for run 1  14 db of the queue, or ""
      15.. fields and values
Returns {code, state, run}: ok | again | told (to end), adopted, full, deep, order (see _spawn) | fenced | next (it runs: kept as its next run) | missing (no such predecessor) ]]
local id, op, by, reason, start, after, idle, births, replace, over, token = unpack(ARGV, 1, 11)
local queue, message, db = unpack(ARGV, 12, 14)
local job, at = load(id), clock()
if start:sub(1, 1) == "+" then start = tostring(at + start) end
if seen(job, op) then return {"again", job.state, job.run} end
if token ~= "" and token ~= job.token then return {"fenced", job.state or "", job.run} end
if after ~= "" and redis.call("EXISTS", key("job", after)) == 0 then return {"missing", after, 0} end

local plan, fields = {op = op, start = start, after = after, idle = idle}, {unpack(ARGV, 15)}
local now = given(fields)
local refused = now.up and bonds().refuses(job, now, fields)
if refused then return refused end
local replaced = job.state and walk(job.state, replace)
if job.state and not replaced and not has(over, job.state) then
  plan.own = token ~= "" or nil
  if plan.own and has(GRAPH().unwanted, job.state) then return {"told", job.state, job.run} end
  join(job, fields, over, true)
  plan.fields = fields
  redis.call("HSET", job.key, "next", cjson.encode(plan))
  return {"next", job.state, job.run}
end

join(job, fields, over)
renew(job, fields, {"checkpoint", "log", "followed", "hook"}, at)
if replaced then record(job, replaced, at, op .. "r", by, reason) end
local ready = begin(job, plan, births, over, at, op, by, reason, fields)
if now.bonds and (now.up or not job.up) then bonds().join(job, at) end -- a child that stays one is counted already
if made then made.wake(at, op, by) end
if ready and queue ~= "" then
  if job.run ~= 1 then message = message:gsub('"job_run": 1', '"job_run": ' .. job.run, 1) end
  if db ~= "" then redis.call("SELECT", db) end
  redis.call("LPUSH", queue, message)
end
return {"ok", job.state, job.run}
