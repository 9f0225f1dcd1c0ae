-- flags: allow-oom
--[[ convict: nobody has these messages: they are owed again.  A false alarm costs a message, and never a second run.
KEYS  1 base of the namespace
ARGV  1 states of a run that needs its message  2 ms every worker had to say that it has the message  3 how many at most
Returns ids ]]
local at, lost = clock(), {}
for _, id in ipairs(redis.call("ZRANGEBYSCORE", key("suspects"), "-inf", at - ARGV[2], "LIMIT", 0, ARGV[3])) do
  redis.call("ZREM", key("suspects"), id)
  local job = load(id)
  if job.state and has(ARGV[1], job.state) and message_of(job) then
    -- It goes to the back of the line, so that it is not taken for overtaken once more.
    redis.call("ZADD", key("state", job.state), later(job, at), id)
    redis.call("HSET", job.key, "since", job.latest)
    owe(job, at, 0)
    lost[#lost + 1] = id
  end
end
return lost
