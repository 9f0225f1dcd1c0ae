-- flags: allow-oom
-- include: _retain
--[[ prune: drop the ended jobs whose time is over, then those there is no room for.
KEYS  1 base of the namespace
ARGV  1 how many at most  2 states of an ended or restarted run  3 limits, see _retain  4 "1" if memory is at stake
Returns {how many went because their time was over, for want of room} ]]
local most, over, limits, at = tonumber(ARGV[1]), ARGV[2], limits_of(ARGV[3]), clock()
local aged = {}

local function due(index, owner)
  for _, id in ipairs(redis.call("ZRANGE", index, "-inf", at, "BYSCORE", "LIMIT", 0, most - #aged)) do
    add(aged, remains(id, owner))
  end
end

due(key("read"))
for _, job in ipairs(aged) do redis.call("ZREM", key("read"), job.id) end
local aged_so_far = bury(aged, at, "age", limits, over)
aged = {}
most = most - aged_so_far
for _, owner in ipairs(redis.call("ZRANGE", key("heads"), "-inf", at, "BYSCORE", "LIMIT", 0, most)) do
  due(key("ended", owner), owner)
  if #aged >= most then break end
end
aged_so_far = aged_so_far + bury(aged, at, "age", limits, over)
for _, owner in ipairs(redis.call("ZRANGE", key("heads"), "-inf", at, "BYSCORE", "LIMIT", 0, most)) do
  local head = redis.call("ZRANGE", key("ended", owner), 0, 0, "WITHSCORES")[2]
  if head then redis.call("ZADD", key("heads"), math.min(head, at + LATE), owner) else redis.call("ZREM", key("heads"), owner) end
end

local excess = (redis.call("HGET", key("retention"), "jobs") or 0) - limits.jobs
local room = evict(math.min(most, excess), at, "cap", limits, over)
if limits.bytes then room = room + evict(most, at, "bytes", limits, over) end
if ARGV[4] == "1" then room = room + evict(most, at, "memory", limits, over) end
return {aged_so_far, room}
