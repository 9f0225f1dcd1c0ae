-- include: _drop
-- include: _bonds
-- include: _birth
-- include: _coalesce
-- include: _define
--[[ once: make a definition that goes after a while, and have it run: both, or neither.
KEYS  1 base of the namespace
ARGV  1 definition  2 job  3 operation  4 by  5 reason  6 ms until it is deleted  7 slot, 8 fire time, 9 ms of its backup, or ""
      10 how many fields and values of the definition there are  11..18 terms, see _launch
      19.. these, then "source" and who asked, then those of the run
Returns {code, state, run, id, run and message if it is to be published}:
      queued | joined | requeued | advanced (one of that id was deleted while it ran) | again | refused |
      conflict (there is one of that id; its version instead of the run) ]]
local name, id, op, by, reason, expires, slot, fire, backup, own = unpack(ARGV, 1, 10)
local one = {id = name, key = key("definition", name), slot = slot, fire = fire, backup = backup, declared = "", version = 1}
local job, at, t = load(id), clock(), terms(11)
local version, last = unpack(redis.call("HMGET", one.key, "version", "op"))
if last == op then return {"again", job.state or "", job.run} end
if version then return {"conflict", job.state or "", version} end
if job.state == t.idle then return {"refused", job.state, job.run, "suspended"} end
one.fields = {unpack(ARGV, 19, 18 + own)}
local fields = {unpack(ARGV, 19 + own)}
define(one, at, op, by, expires)
if live(job, t) then return join(job, at, t, at, op, by, reason, fields) end
return launch(job, {op = op, start = "", after = "", idle = ""}, t, at, op, by, reason, fields)
