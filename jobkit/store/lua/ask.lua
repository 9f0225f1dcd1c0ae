-- flags: allow-oom
--[[ ask: tell a running job to end (cancel, pause, time over, shutdown); its worker is sent the order.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 reason  5 steps  6 ms of grace, "" for what the job was given
Returns {code, state, run, blocked target}: ok | again | refused | missing ]]
local id, op, by, reason, steps, grace = unpack(ARGV)
local job, at = load(id), clock()
if not job.state then return {"missing", "", 0} end
if seen(job, op) then return {"again", job.state, job.run} end
local targets, blocked = walk(job.state, steps)
if not targets then return {"refused", job.state, job.run, blocked} end
record(job, targets, at, op, by, reason)
save(job, at)
if grace == "" then grace = redis.call("HGET", job.key, "grace") or 60000 end
local orders = key("orders", job.worker or "")
redis.call("RPUSH", orders, table.concat({id, job.run, grace}, "\t"))
redis.call("PEXPIRE", orders, 3600000)
redis.call("ZREM", key("deadlines"), id)
return {"ok", job.state, job.run}
