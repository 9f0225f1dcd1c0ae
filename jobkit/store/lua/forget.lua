-- flags: allow-oom
-- include: _retain
--[[ forget: drop the record of an ended job, everywhere; of a live one only what Celery's clients would read.
KEYS  1 base of the namespace
ARGV  1 id  2 states of an ended or restarted run  3 limits, see _retain
Returns {code, state, run}: ok | missing ]]
local job = load(ARGV[1])
if not job.state then return {"missing", "", 0} end
if has(ARGV[2], job.state) then
  bury({remains(job.id)}, clock(), "deleted", limits_of(ARGV[3]), ARGV[2])
else
  redis.call("HDEL", job.key, "meta")
end
return {"ok", job.state, job.run}
