-- flags: allow-oom
-- include: _hold
-- include: _release
--[[ let_go: what was held back takes its place among the ended jobs that may go: pins that are over, families that are.
KEYS  1 base of the namespace
ARGV  1 how many at most  2 states of an ended or restarted run  3 limits, see _retain
Returns how many ]]
local most, over, limits, at, count = tonumber(ARGV[1]), ARGV[2], limits_of(ARGV[3]), clock(), 0
for _, id in ipairs(redis.call("ZRANGE", key("pinned"), "-inf", at, "BYSCORE", "LIMIT", 0, most)) do
  unhold(id, at, over, limits)
  count = count + 1
end
for _, kin in ipairs(redis.call("ZRANGE", key("families"), "-inf", at, "BYSCORE", "LIMIT", 0, most)) do
  local ids = count < most and redis.call("LPOP", key("kin", kin), most - count) or {}
  seal(ids, redis.call("HGET", key("family", kin), "ended") or at, at, limits)
  count = count + #ids
  if redis.call("EXISTS", key("kin", kin)) == 1 then break end
  redis.call("DEL", key("family", kin))
  redis.call("ZREM", key("families"), kin)
end
return count
