-- flags: allow-oom
--[[ tell: who is about to tell a job of the end of a run asks whether it may; one may, and then says what became of it: told.
KEYS  1 base of the namespace
ARGV  1 id  2 run  3 token of who asks  4 his worker  5 states of an ended or restarted run
Returns {code, state, run}: ok | again | refused (another tells it, or has) | missing ]]
local id, run, token, worker, over = unpack(ARGV)
local job = load(id, "hook")
if not job.state then return {"missing", "", 0} end
local told, teller = (job.hook or ""):match("^(%d+) ?(%S*)")
if told ~= run or (teller ~= "" and teller ~= token) then return {"refused", job.state, job.run, "told"} end
if teller == token then return {"again", job.state, job.run} end
redis.call("HSET", job.key, "hook", run .. " " .. token .. " " .. worker)
redis.call("SADD", key("held", worker), id)
-- Nobody else has to: its message is not owed any more.
if job.run == tonumber(run) and has(over, job.state) then redis.call("ZREM", key("outbox"), id) end
return {"ok", job.state, job.run}
