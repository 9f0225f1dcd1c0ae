-- flags: allow-oom
--[[ rebase: the clock has jumped; every lease counts from now, so that nobody is declared dead, or lives on, by the jump,
and the jobs of the worker that says so have the time that was left to them.
KEYS  1 base of the namespace
ARGV  1 lease, ms  2 operation  3 worker  4 ms the clock has jumped
Returns how many leases there are ]]
local lease, op, me, jump = unpack(ARGV)
local workers, at = redis.call("ZRANGE", key("workers"), 0, -1), clock()
for _, worker in ipairs(workers) do redis.call("ZADD", key("workers"), at + lease, worker) end
for _, id in ipairs(redis.call("SMEMBERS", key("held", me))) do
  if redis.call("ZSCORE", key("deadlines"), id) and redis.call("HGET", key("job", id), "rebased") ~= op then
    redis.call("HSET", key("job", id), "rebased", op)
    redis.call("ZINCRBY", key("deadlines"), jump, id)
  end
end
return #workers
