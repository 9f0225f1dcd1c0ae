-- A definition whose runs fail again and again is paused.
local function count_failure(name, failed)
  local own = key("definition", name)
  local most, paused = unpack(redis.call("HMGET", own, "pause_after", "paused"))
  if not most then return end
  if not failed then return redis.call("HSET", own, "failures", 0) end
  local failures = redis.call("HINCRBY", own, "failures", 1)
  if most == "" or failures < tonumber(most) or (paused or "") ~= "" then return end
  redis.call("HSET", own, "paused", failures .. " failures in a row")
  redis.call("HINCRBY", own, "version", 1)
  redis.call("HDEL", own, "slot")
  redis.call("ZREM", key("ticks"), name, name .. "~backup")
end
