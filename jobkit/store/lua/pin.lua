-- flags: allow-oom
-- include: _hold
--[[ pin: keep jobs for a while, whatever their time and however little room there is; each pinner has a lease.
KEYS  1 base of the namespace
ARGV  1 pinner  2 ms  3 how many of an owner's jobs may be pinned  4 states of an ended or restarted run  5.. ids
Returns {id, "missing" | "full", …} of those that were not ]]
local pinner, till, most, over, at = ARGV[1], clock() + ARGV[2], tonumber(ARGV[3]), ARGV[4], clock()
local refused = {}
for i = 5, #ARGV do
  local job = {id = ARGV[i], key = key("job", ARGV[i])}
  local state, owner, retain = unpack(redis.call("HMGET", job.key, "state", "owner", "retain"))
  job.owner = owner or nil
  if not state then
    add(refused, job.id, "missing")
  elseif not redis.call("ZSCORE", key("pinned"), job.id)
    and tonumber(redis.call("HGET", key("pinners"), owner or "") or 0) >= most then
    add(refused, job.id, "full")
  else
    pin(job.id, pinner, till, owner or "")
    if not retain then redis.call("HSET", job.key, "retain", "||") end
    if has(over, state) then
      leave(job)
      redis.call("PERSIST", job.key)
    end
  end
end
return refused
