-- flags: allow-oom
-- include: _release
--[[ unpin: let jobs go; what nobody else holds goes when its time is over.  Of the pinner "reader" it counts from now.
KEYS  1 base of the namespace
ARGV  1 pinner  2 states of an ended or restarted run  3 limits, see _retain  4.. ids
Returns how many this pinner held ]]
local pinner, over, limits, at, held = ARGV[1], ARGV[2], limits_of(ARGV[3]), clock(), 0
for i = 4, #ARGV do
  local id = ARGV[i]
  if redis.call("ZREM", key("pins", id), pinner) == 1 then
    held = held + 1
    if pinner == "reader" then was_read(id, at) end
    unhold(id, at, over, limits)
  end
end
return held
