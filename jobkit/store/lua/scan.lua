--[[ scan: look at jobs whose message is out, oldest first, for those that were overtaken: who came after them has started.
KEYS  1 base of the namespace
ARGV  1 their state  2 rank to go on from  3 how many  4 ms in which nothing is looked for yet
Returns {rank to go on from, 0 at the end, then of each that is old enough: id, queue, "1" if it was overtaken, …} ]]
local state, from, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local entries = redis.call("ZRANGE", key("state", state), from, from + most - 1, "WITHSCORES")
local reply, limit = {#entries < 2 * most and 0 or from + most}, clock() - ARGV[4]
for i = 1, #entries, 2 do
  local since = tonumber(entries[i + 1])
  if since > limit then
    reply[1] = 0
    break
  end
  local queue, priority = unpack(redis.call("HMGET", key("job", entries[i]), "queue", "priority"))
  local reached = redis.call("HGET", key("reached"), (queue or "") .. "~" .. (priority or ""))
  add(reply, entries[i], queue or "", reached and tonumber(reached) > since and 1 or 0)
end
return reply
