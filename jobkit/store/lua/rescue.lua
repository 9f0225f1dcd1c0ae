-- flags: allow-oom
--[[ rescue: take over the runs of workers whose lease has run out; the caller holds them now, and has to settle them.
What it was handed before and did not settle (an answer was lost, or it could not) is handed to it again.
The messages of what they had reserved and not begun are owed from now on.
KEYS  1 base of the namespace
ARGV  1 the caller's worker  2 how many at most  3 states a held run may stand in  4 ms of Redis's time until which the
      caller can judge; what comes later was held up, and others may have been so too  5 states of one that may start
Returns {id, run, state, worker that vanished, its policy, restarts so far, message, task, hook, …}; one that has ended was
being told so ]]
local me, most, active, ready = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[5]
local taken, at = {}, clock()
if at > tonumber(ARGV[4]) then return taken end
local function hand(id, from)
  local run, state, policy, restarts, message, task, hook = unpack(
    redis.call("HMGET", key("job", id), "run", "state", "policy", "restarts", "message", "task", "hook"))
  add(taken, id, run, state, from, policy or "", restarts or "", message or "", task or "", hook or "")
end

for _, id in ipairs(redis.call("SMEMBERS", key("held", me))) do
  local token, hook = unpack(redis.call("HMGET", key("job", id), "token", "hook"))
  local from = (token or ""):match("^!(.*)") or (hook or ""):match("^%d+ !%??(%S*)")
  if from then hand(id, from) end
end
for _, worker in ipairs(redis.call("ZRANGEBYSCORE", key("workers"), "-inf", at, "LIMIT", 0, 20)) do
  local held = most > 0 and redis.call("SRANDMEMBER", key("held", worker), most) or {}
  most = most - #held
  for _, id in ipairs(held) do
    local holder, state, hook = unpack(redis.call("HMGET", key("job", id), "worker", "state", "hook"))
    redis.call("SREM", key("held", worker), id)
    if state and holder == worker and has(active, state) then
      -- No claim's token begins so: it says from whom the run was taken, and that it is not settled.
      redis.call("HSET", key("job", id), "worker", me, "token", "!" .. worker)
      redis.call("SADD", key("held", me), id)
      hand(id, worker)
    elseif state and hook and (hook:match("^%d+$") and not has(ready, state) or hook:match("^%d+ %S+ (.*)") == worker) then
      local begun = hook:find(" ") and " !" or " !?"
      redis.call("HSET", key("job", id), "hook", hook:match("^%d+") .. begun .. worker .. " " .. me)
      redis.call("SADD", key("held", me), id)
      hand(id, worker)
    elseif state and has(ready, state) then -- whoever gets it tells of the run before, if nobody has yet
      redis.call("ZADD", key("outbox"), at, id)
    end
  end
  if worker ~= me and redis.call("EXISTS", key("held", worker)) == 0 then
    redis.call("ZREM", key("workers"), worker)
    redis.call("DEL", key("orders", worker))
  end
end
return taken
