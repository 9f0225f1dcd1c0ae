--[[ trim: drop the executions that are older than they are kept, where nothing is written that would do so by the way.
KEYS  1 base of the namespace
Returns how many went ]]
local age = redis.call("HGET", key("about"), "history_age") or 31 * 86400000
return redis.call("XTRIM", key("history"), "MINID", clock() - age)
