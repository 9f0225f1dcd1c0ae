-- include: _undefine
--[[ trim: drop the executions that are older than they are kept, and the definitions that were made for a while.
KEYS  1 base of the namespace
ARGV  1 how many definitions at most
Returns how many went of each ]]
local at, gone = clock(), 0
for _, id in ipairs(redis.call("ZRANGE", key("expiring"), "-inf", at, "BYSCORE", "LIMIT", 0, ARGV[1])) do
  gone = gone + undefine(id)
end
local age = redis.call("HGET", key("about"), "history_age") or 31 * 86400000
return {redis.call("XTRIM", key("history"), "MINID", at - age), gone}
