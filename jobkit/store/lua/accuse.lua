-- flags: allow-oom
--[[ accuse: these messages may be lost; every worker that has one reserved says so.
KEYS  1 base of the namespace
ARGV  ids
Returns how many are new ]]
local at, new = clock(), 0
for _, id in ipairs(ARGV) do new = new + redis.call("ZADD", key("suspects"), "NX", at, id) end
return new
