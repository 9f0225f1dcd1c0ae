--[[ aged: queued jobs that have a level, and have waited so long at it.
KEYS  1 base of the namespace
ARGV  1 state of a queued job  2 ms it has to have waited  3 how many to look at
Returns {id, run, level, message, …}, oldest first ]]
local reply = {}
for _, id in ipairs(redis.call("ZRANGE", key("state", ARGV[1]), "-inf", clock() - ARGV[2], "BYSCORE", "LIMIT", 0, ARGV[3])) do
  local run, level, message = unpack(redis.call("HMGET", key("job", id), "run", "level", "message"))
  if tonumber(level or 0) > 0 and message then add(reply, id, run, level, message) end
end
return reply
