-- flags: allow-oom
--[[ hand_back: a worker does not hold these jobs any more that it reserved and has not begun: their messages are back.
KEYS  1 base of the namespace
ARGV  1 worker  2 states a held run may stand in  3.. ids
Returns how many ]]
local worker, active, handed = ARGV[1], ARGV[2], 0
for i = 3, #ARGV do
  local holder, state = unpack(redis.call("HMGET", key("job", ARGV[i]), "worker", "state"))
  if not (holder == worker and has(active, state or "")) then
    handed = handed + redis.call("SREM", key("held", worker), ARGV[i])
  end
end
return handed
