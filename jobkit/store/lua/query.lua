--[[ query: one page of jobs, newest first; looks at a bounded number of entries and says where to go on.
KEYS  1 base of the namespace
ARGV  1 how many at most  2 how many entries to look at  3 score to go on from, or "+inf"  4 id to go on after, or ""
      5 states wanted, or ""  6 task, or ""  7 owner, or ""  8 tag, or ""  9 fields to return, comma separated
      10.. indexes to walk: kind and name
Returns {score and id to go on from, or "" if complete, …, then per job: id, values} ]]
local most, budget, score, last = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local fields, found, seen_ids, entries = {"state", "task", "owner", "tags"}, {}, {}, {}
for field in ARGV[9]:gmatch("[^,]+") do fields[#fields + 1] = field end
local complete = true
for i = 10, #ARGV, 2 do
  local index = key(ARGV[i], ARGV[i + 1])
  -- By rank where it can be: any number of jobs may share one score.
  local rank, range = last ~= "" and redis.call("ZREVRANK", index, last), nil
  if rank then
    range = redis.call("ZREVRANGE", index, rank + 1, rank + budget, "WITHSCORES")
  else
    range = redis.call("ZREVRANGEBYSCORE", index, score, "-inf", "WITHSCORES", "LIMIT", 0, budget)
  end
  if #range >= 2 * budget then complete = false end
  for j = 1, #range, 2 do entries[#entries + 1] = {range[j], tonumber(range[j + 1]), ARGV[i], ARGV[i + 1]} end
end
table.sort(entries, function(a, b) if a[2] ~= b[2] then return a[2] > b[2] end return a[1] > b[1] end)
local looked = nil
for n, entry in ipairs(entries) do
  local id, at = entry[1], entry[2]
  if n > budget or #found >= most then complete = false break end
  looked = entry
  if not (score ~= "+inf" and at == tonumber(score) and id >= last) and not seen_ids[id] then
    seen_ids[id] = true
    local values = redis.call("HMGET", key("job", id), unpack(fields))
    if not values[1] then
      redis.call("ZREM", key(entry[3], entry[4]), id) -- the record has expired, its entry goes with it
    elseif (ARGV[5] == "" or has(ARGV[5], values[1])) and (ARGV[6] == "" or values[2] == ARGV[6])
      and (ARGV[7] == "" or values[3] == ARGV[7])
      and (ARGV[8] == "" or ("\n" .. (values[4] or "") .. "\n"):find("\n" .. ARGV[8] .. "\n", 1, true)) then
      found[#found + 1] = {id, unpack(values, 5)}
    end
  end
end
if complete or not looked then return {"", "", found} end
return {string.format("%.0f", looked[2]), looked[1], found}
