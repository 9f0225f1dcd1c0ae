--[[ learn: how long runs of each task take, from those that finished since the last time: the newer, the more it counts.
KEYS  1 base of the namespace
ARGV  1 state of a job that finished  2 how many at most
Returns how many were looked at ]]
local known = key("runtimes")
-- Under no task's name: until when it was learned.
local last = redis.call("HGET", known, "") or "-inf"
local done = redis.call("ZRANGE", key("state", ARGV[1]), "(" .. last, "+inf", "BYSCORE", "LIMIT", 0, ARGV[2], "WITHSCORES")
for i = 1, #done, 2 do
  local task, started, ended = unpack(redis.call("HMGET", key("job", done[i]), "task", "started", "ended"))
  if task and task ~= "" and started and ended then
    local took, before = ended - started, redis.call("HGET", known, task)
    redis.call("HSET", known, task, math.floor(before and before * 0.8 + took * 0.2 or took))
  end
  redis.call("HSET", known, "", done[i + 1])
end
return #done / 2
