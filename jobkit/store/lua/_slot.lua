-- What a definition remembers of its slots: the last one taken, how often it fired or not, and the last ten times.
local function note_slot(own, op, code, slot, late, missed)
  redis.call("HSET", own, "last", op)
  if missed ~= "0" then redis.call("HINCRBY", own, "missed", missed) end
  if not code then return end
  if code == "skipped" or code == "refused" then return redis.call("HINCRBY", own, "skipped", 1) end
  redis.call("HINCRBY", own, "fired", 1)
  local fires, times = slot .. "," .. math.max(0, late) .. ";" .. (redis.call("HGET", own, "fires") or ""), 0
  for place in fires:gmatch("();") do
    times = times + 1
    if times == 10 then fires = fires:sub(1, place) end
  end
  redis.call("HSET", own, "fires", fires)
end
