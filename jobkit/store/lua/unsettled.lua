-- flags: allow-oom
--[[ unsettled: families somebody has to look at; nobody else is told of them until the lease ends.
KEYS  1 base of the namespace
ARGV  1 how many at most  2 lease, ms
Returns ids ]]
local at = clock()
local ids = redis.call("ZRANGE", key("unsettled"), "-inf", at, "BYSCORE", "LIMIT", 0, ARGV[1])
for _, id in ipairs(ids) do redis.call("ZADD", key("unsettled"), at + ARGV[2], id) end
return ids
