-- flags: allow-oom
-- include: _drop
-- include: _bonds
-- include: _birth
-- include: _next
--[[ discard: forget a run whose message could not be published; its submitter is told, nothing stays half-written.
KEYS  1 base of the namespace
ARGV  1 id  2 operation that created it  3 run  4 states it may still stand in  5 by
      6 steps of a release now  7 later  8 ms until somebody else may publish what is owed
Returns {code, state, run, id, run and message of each job to publish…}:
      ok | kept (it has a past: to be ended instead) | refused (somebody has it already) | missing ]]
local id, op, run = ARGV[1], ARGV[2], tonumber(ARGV[3])
local job, reply = load(id), {"ok", "", 0}
if not job.state then return {"missing", "", 0} end
if job.run ~= run or not seen(job, op) or not has(ARGV[4], job.state) then return {"refused", job.state, job.run} end
if run > 1 then return {"kept", job.state, job.run} end
if job.bonds then
  bonds().reply = reply
  bonds().let_go(job)
  bonds().leave_parent(job, clock(), true)
end
local _, _, kin = wishes(job.retain)
if kin ~= "" then part(kin, clock()) end
drop(job)
if job.bonds then bonds().wake(clock(), op, ARGV[5]) end
release(id, ARGV[6], ARGV[7], clock(), op, ARGV[5], "was not accepted", ARGV[8], reply)
return reply
