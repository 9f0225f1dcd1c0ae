-- flags: allow-oom
--[[ rebase: the clock has jumped; every lease counts from now, so that nobody is declared dead, or lives on, by the jump.
KEYS  1 base of the namespace
ARGV  1 lease, ms
Returns how many leases there are ]]
local workers, at = redis.call("ZRANGE", key("workers"), 0, -1), clock()
for _, worker in ipairs(workers) do redis.call("ZADD", key("workers"), at + ARGV[1], worker) end
return #workers
