-- flags: allow-oom
-- include: _drop
--[[ prune: drop the ended jobs whose time is over.
KEYS  1 base of the namespace
ARGV  1 how many at most  2 states of an ended or restarted run
Returns how many went ]]
local at = clock()
local over = redis.call("ZRANGE", key("ended"), "-inf", at, "BYSCORE", "LIMIT", 0, ARGV[1])
for _, id in ipairs(over) do
  local job = load(id)
  -- Redis may have expired the record first; then only the indexes are left to clear.
  if not job.state then
    for state in ARGV[2]:gmatch("[^,]+") do redis.call("ZREM", key("state", state), id) end
  end
  drop(job)
end
return #over
