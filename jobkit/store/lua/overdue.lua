-- flags: allow-oom
--[[ overdue: the jobs that have run longer than they may; nobody else is told of them until the lease ends.
KEYS  1 base of the namespace
ARGV  1 how many at most  2 lease, ms  3 ms of Redis's time until which the caller can judge, see rescue
Returns ids ]]
local at = clock()
if at > tonumber(ARGV[3]) then return {} end
local ids = redis.call("ZRANGEBYSCORE", key("deadlines"), "-inf", at, "LIMIT", 0, ARGV[1])
for _, id in ipairs(ids) do redis.call("ZADD", key("deadlines"), at + ARGV[2], id) end
return ids
