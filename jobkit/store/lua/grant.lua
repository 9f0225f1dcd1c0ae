-- flags: allow-oom
-- include: _bonds
--[[ grant: let those go for whom a rate has opened by now, and those one call did not come to.
KEYS  1 base of the namespace
ARGV  1 operation  2 by  3 how many names at most
Returns how many names were looked at ]]
local at, B = clock(), bonds()
local open = redis.call("ZRANGE", key("openings"), "-inf", at, "BYSCORE", "LIMIT", 0, ARGV[3])
for _, name in ipairs(open) do
  redis.call("ZREM", key("openings"), name)
  B.stirred[name] = true
end
B.wake(at, ARGV[1], ARGV[2])
return #open
