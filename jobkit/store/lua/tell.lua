-- flags: allow-oom
--[[ tell: who is about to tell a job of the end of a run asks whether it may; one may.
KEYS  1 base of the namespace
ARGV  1 id  2 run  3 token of who asks  4 states of an ended or restarted run  5 fields to drop once the job has ended
Returns {code, state, run}: ok | again | refused (another tells it, or has) | missing ]]
local id, run, token, over, dropped = unpack(ARGV)
local job = load(id, "hook")
if not job.state then return {"missing", "", 0} end
local told, teller = (job.hook or ""):match("^(%d+) ?(.*)")
if told ~= run or (teller ~= "" and teller ~= token) then return {"refused", job.state, job.run, "told"} end
if teller == token then return {"again", job.state, job.run} end
redis.call("HSET", job.key, "hook", run .. " " .. token)
if job.run == tonumber(run) and has(over, job.state) then
  -- Nobody else has to: its message is not needed any more.
  redis.call("ZREM", key("outbox"), id)
  for field in dropped:gmatch("[^,]+") do redis.call("HDEL", job.key, field) end
end
return {"ok", job.state, job.run}
