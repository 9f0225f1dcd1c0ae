-- flags: allow-oom
--[[ write: set fields of a run that is being executed; only its owner may.
KEYS  1 base of the namespace
ARGV  1 id  2 run  3 token  4 worker  5 states it may stand in  6 message for Celery's clients, or ""  7.. fields and values
Returns {code, state, run}: ok | fenced | missing ]]
local id, run, token, worker = unpack(ARGV, 1, 4)
local job = load(id)
if not job.state then return {"missing", "", 0} end
if tonumber(run) ~= job.run or not holds(job, token, worker) or not has(ARGV[5], job.state) then
  return {"fenced", job.state, job.run}
end
redis.call("HSET", job.key, unpack(ARGV, 7))
if ARGV[6] ~= "" then redis.call("PUBLISH", job.key, ARGV[6]) end
return {"ok", job.state, job.run}
