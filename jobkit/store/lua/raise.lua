-- flags: allow-oom
--[[ raise: a queued job goes before others from now on; its message is owed once more, the one that is out counts no more.
KEYS  1 base of the namespace
ARGV  1 id  2 run  3 state of a queued job  4 its level  5 its new level  6 what the broker calls that  7 message
Returns {code, state, run}: ok | again | refused | missing ]]
local id, run, queued, old, new, priority, message = unpack(ARGV)
local job, at = load(id, "level"), clock()
if not job.state then return {"missing", "", 0} end
if tonumber(run) ~= job.run or job.state ~= queued then return {"refused", job.state, job.run, queued} end
if job.level == new then return {"again", job.state, job.run} end
if job.level ~= old then return {"refused", job.state, job.run, queued} end
-- It begins to wait anew, at its new level: nobody there has overtaken it.
redis.call("ZADD", key("state", job.state), later(job, at), id)
redis.call("HSET", job.key, "level", new, "priority", priority, "message", message, "since", job.latest)
owe(job, at, 0)
return {"ok", job.state, job.run}
