-- include: _drop
-- include: _bonds
-- include: _birth
-- include: _coalesce
--[[ queue: have a definition run once more, coalesced with the run it may have before it.
KEYS  1 base of the namespace
ARGV  1 definition  2 job  3 operation  4 by  5 reason  6 start, ms from now at most  7 states of enabled that forbid it
      8..15 terms, see _launch
      16.. "source" and who asked, then fields and values of a run, none to ask if they are needed
Returns {code, state, run, id, run and message if it is to be published, else why it is refused}:
      queued | joined | requeued | advanced | again | wanted (fields) | refused | missing ]]
local name, id, op, by, reason = unpack(ARGV, 1, 5)
local job, at, t, fields = load(id), clock(), terms(8), {unpack(ARGV, 16)}
local start = at + ARGV[6]
if seen(job, op) or job.next and cjson.decode(job.next).op == op then return {"again", job.state, job.run} end
local enabled = redis.call("HGET", key("definition", name), "enabled")
if not enabled then return {"missing", "", 0} end
if has(ARGV[7], enabled) then return {"refused", job.state or "", job.run, enabled} end
local running = live(job, t) and not has(t.unstarted, job.state)
-- A run begins with a message of its own; what a run that was retried would leave to the next says so.
local needed = not live(job, t) or running and not job.next and redis.call("HEXISTS", job.key, "retries") == 1
if needed and #fields == 2 then return {"wanted", job.state or "", job.run} end
if live(job, t) then return join(job, start, t, at, op, by, reason, fields) end
local plan = {op = op, start = start > at and tostring(start) or "", after = "", idle = ""}
return launch(job, plan, t, at, op, by, reason, fields)
