--[[ due: the definitions whose time has come, in no order that two callers share, and when the next one's will.
KEYS  1 base of the namespace
ARGV  1 how many at most
Returns {now, ms until the next one ("" if there is none), then of each: entry of `ticks`, its time, fields and values} ]]
local at, ticks = clock(), key("ticks")
local reply = {at, ""}
local entries = redis.call("ZRANGE", ticks, "-inf", at, "BYSCORE", "LIMIT", 0, ARGV[1], "WITHSCORES")
for i = 1, #entries, 2 do
  local found = redis.call("HGETALL", key("definition", (entries[i]:match("^[^~]+"))))
  if #found > 0 then add(reply, entries[i], entries[i + 1], found) else redis.call("ZREM", ticks, entries[i]) end
end
if #entries == 0 then
  local first = redis.call("ZRANGE", ticks, 0, 0, "WITHSCORES")[2]
  if first then reply[2] = string.format("%.0f", first - at) end
end
return reply
