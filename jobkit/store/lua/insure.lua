-- include: _drop
-- include: _bonds
-- include: _birth
-- include: _coalesce
--[[ insure: the backup of a definition is due: run it, if nothing else runs or will; a run means that a trigger was lost.
KEYS  1 base of the namespace
ARGV  1 definition  2 job  3 operation  4 by  5 reason  6 time it was due, ms  7 ms until the next one
      8..15 terms, see _launch  16.. fields and values of the run
Returns {code, state, run, id, run and message to be published}: queued | passed (it has one) | stale (taken meanwhile) ]]
local name, id, op, by, reason, due, every = unpack(ARGV, 1, 7)
local entry, at, t = name .. "~backup", clock(), terms(8)
local last = redis.call("ZSCORE", key("ticks"), entry)
if not last or tonumber(last) ~= tonumber(due) then return {"stale", "", 0} end
redis.call("ZADD", key("ticks"), at + every, entry)
local job = load(id)
if live(job, t) then return {"passed", job.state, job.run} end
redis.call("HINCRBY", key("definition", name), "backups", 1)
return launch(job, {op = op, start = "", after = "", idle = ""}, t, at, op, by, reason, {unpack(ARGV, 16)})
