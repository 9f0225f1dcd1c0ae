-- flags: allow-oom
--[[ published: these messages are out; nothing is owed for them any more.  But where a job is still to be told of its end,
its message is owed again later: nobody looks for that of a job that has ended.
KEYS  1 base of the namespace
ARGV  1 ms until then  2.. ids
Returns how many were owed ]]
local owed = 0
for i = 2, #ARGV do
  local run, hook = unpack(redis.call("HMGET", key("job", ARGV[i]), "run", "hook"))
  if hook and hook == run then
    owed = owed + redis.call("ZADD", key("outbox"), "XX", "CH", clock() + ARGV[1], ARGV[i])
  else
    owed = owed + redis.call("ZREM", key("outbox"), ARGV[i])
  end
end
return owed
