-- include: _drop
-- include: _bonds
-- include: _birth
-- include: _coalesce
--[[ coalesce: submit a job by a key, which is its id, together with what of it waits or runs already.
KEYS  1 base of the namespace
ARGV  1 key  2 operation  3 by  4 reason  5 how: drop | again | replace | debounce | throttle
      6 ms to wait (debounce) or between two starts (throttle)  7 ms it may be put off at most, or ""
      8..15 terms, see _launch  16 rows of "replace"  17.. fields and values
Returns {code, state, run, id, run and message if it is to be published, else why it is refused}:
      queued | joined | advanced | replaced | requeued | refused | again ]]
local id, op, by, reason, how, wait, most = unpack(ARGV, 1, 7)
local job, at, t, fields = load(id, "wished"), clock(), terms(8), {unpack(ARGV, 17)}
local plan = job.next and cjson.decode(job.next)
if seen(job, op) or plan and plan.op == op then return {"again", job.state, job.run} end
local alive = live(job, t)
local waits = alive and has(t.unstarted, job.state)
if alive and how == "drop" then return {"refused", job.state, job.run, job.state} end
if alive and how == "again" then return join(job, at, t, at, op, by, reason, fields) end

local start = waits and tonumber(job.start) or plan and tonumber(plan.start) or at
if how == "debounce" then
  local first = waits and job.wished or plan and given(plan.fields).wished or at
  start = at + wait
  if most ~= "" then start = math.min(start, first + most) end
  add(fields, "wished", first)
elseif how == "throttle" and not waits and not plan then
  local last = redis.call("GET", key("throttled", id))
  start = last and math.max(at, last + wait) or at
  redis.call("SET", key("throttled", id), start, "PX", start - at + wait)
end

start = start > at and tostring(start) or ""
if alive and not waits then
  redis.call("HSET", job.key, "next",
    cjson.encode({op = op, start = start, after = "", idle = "", fields = fields, fresh = "1"}))
  return {plan and "replaced" or "requeued", job.state, job.run}
end
local replaced = waits and walk(job.state, ARGV[16])
if replaced then record(job, replaced, at, op .. "r", by, reason) end
local reply = launch(job, {op = op, start = start, after = "", idle = ""}, t, at, op, by, reason, fields)
if replaced then reply[1] = "replaced" end
return reply
