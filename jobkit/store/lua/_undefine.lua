-- Take a definition away; what it has queued still runs, what it ran stays in the history.
local function undefine(id)
  redis.call("ZREM", key("definitions"), id)
  redis.call("ZREM", key("ticks"), id, id .. "~backup")
  redis.call("ZREM", key("expiring"), id)
  return redis.call("DEL", key("definition", id))
end
