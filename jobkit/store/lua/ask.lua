-- flags: allow-oom
-- include: _ask
--[[ ask: tell a running job to end (cancel, pause, time over, shutdown); its worker is sent the order.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 reason  5 steps  6 ms of grace, "" for what the job was given
Returns {code, state, run, id of a job whose family is to be looked at, 0 and "", or the blocked target}: ok | again | refused | missing ]]
local id, op, by, reason, steps, grace = unpack(ARGV)
local job = load(id)
if not job.state then return {"missing", "", 0} end
if seen(job, op) then return {"again", job.state, job.run} end
local reply = {"ok"}
if job.bonds then bonds().reply = reply end
local blocked = tell(job, steps, clock(), op, by, reason, grace)
if blocked then return {"refused", job.state, job.run, blocked} end
table.insert(reply, 2, job.state)
table.insert(reply, 3, job.run)
return reply
