-- flags: allow-oom
--[[ published: these messages are out; nothing is owed for them any more.
KEYS  1 base of the namespace
ARGV  ids
Returns how many were owed ]]
local owed = 0
for _, id in ipairs(ARGV) do owed = owed + redis.call("ZREM", key("outbox"), id) end
return owed
