-- flags: allow-oom
--[[ beat: a worker proves itself alive.
KEYS  1 base of the namespace
ARGV  1 worker  2 lease, ms; 0 when it goes down, so that what it still holds is taken over at once
Returns {now, "1" if the lease had not run out, its epoch} ]]
local at = clock()
local last = redis.call("ZSCORE", key("workers"), ARGV[1])
redis.call("ZADD", key("workers"), at + ARGV[2], ARGV[1])
return {at, last and tonumber(last) > at and 1 or 0, redis.call("HGET", key("about"), "epoch") or ""}
