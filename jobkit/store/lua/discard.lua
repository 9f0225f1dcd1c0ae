-- include: _drop
--[[ discard: forget a run whose message could not be published; its submitter is told, nothing stays half-written.
KEYS  1 base of the namespace
ARGV  1 id  2 operation that created it  3 run  4 states it may still stand in
Returns {code, state, run}: ok | refused (somebody has it already) | missing ]]
local id, op, run = ARGV[1], ARGV[2], ARGV[3]
local job = load(id)
if not job.state then return {"missing", "", 0} end
if job.run ~= tonumber(run) or job.run > 1 or not seen(job, op) or not has(ARGV[4], job.state) then
  return {"refused", job.state, job.run}
end
drop(job)
return {"ok", "", 0}
