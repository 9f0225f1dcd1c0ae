-- The clock of the test build: what the test wrote, or Redis's own.  No production client loads this file.
local function clock()
  local given = redis.call("GET", key("clock"))
  if given then return tonumber(given) end
  local t = redis.call("TIME")
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
