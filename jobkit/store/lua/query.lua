--[[ query: one page of jobs, newest first; looks at a bounded number of entries and says where to go on.
Entries of one score come in the order of the indexes, those of one index in its own: no text is compared here.
KEYS  1 base of the namespace
ARGV  1 how many at most  2 how many entries to look at  3 score, 4 number of the index and 5 id to go on after;
      "+inf", 0 and "" to begin  6 states wanted, or ""  7 task, or ""  8 owner, or ""  9 tag, or ""
      10 fields to return, comma separated  11.. indexes to walk: kind and name
Returns {score, number of the index and id to go on after, or "" if complete, then per job: id, values} ]]
local most, budget, score, from, last = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local fields, found, entries, complete = {"state", "task", "owner", "tags"}, {}, {}, true
for field in ARGV[10]:gmatch("[^,]+") do add(fields, field) end

local function range(number, index)
  -- By rank where it can be: any number of jobs may share one score.
  if number == from and redis.call("ZSCORE", index, last) == score then
    local rank = redis.call("ZREVRANK", index, last)
    return redis.call("ZREVRANGE", index, rank + 1, rank + budget, "WITHSCORES")
  end
  local most_recent = (number < from and "(" or "") .. score -- of this score the indexes before had their turn
  return redis.call("ZREVRANGEBYSCORE", index, most_recent, "-inf", "WITHSCORES", "LIMIT", 0, budget)
end

local function wanted(state, task, owner, tags)
  return (ARGV[6] == "" or has(ARGV[6], state)) and (ARGV[7] == "" or task == ARGV[7])
    and (ARGV[8] == "" or owner == ARGV[8])
    and (ARGV[9] == "" or ("\n" .. (tags or "") .. "\n"):find("\n" .. ARGV[9] .. "\n", 1, true))
end

for i = 11, #ARGV, 2 do
  local index, number = key_of(ARGV[i], ARGV[i + 1]), (i - 9) / 2
  local part = range(number, index)
  if #part >= 2 * budget then complete = false end
  for j = 1, #part, 2 do add(entries, {part[j], at = tonumber(part[j + 1]), index = index, number = number, nth = #entries}) end
end
table.sort(entries, function(a, b) return a.at > b.at or a.at == b.at and a.nth < b.nth end)
local looked, gone = nil, {}
for n, entry in ipairs(entries) do
  if n > budget or #found >= most then complete = false break end
  local values = redis.call("HMGET", key("job", entry[1]), unpack(fields))
  if not values[1] then add(gone, entry) elseif wanted(unpack(values, 1, 4)) then add(found, {entry[1], unpack(values, 5)}) end
  looked = entry
end
-- Entries of expired records go now; but for the one where the next page begins.
for _, entry in ipairs(gone) do if complete or entry ~= looked then redis.call("ZREM", entry.index, entry[1]) end end
return complete and {"", "", "", found} or {string.format("%.0f", looked.at), looked.number, looked[1], found}
