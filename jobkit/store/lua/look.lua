--[[ look: where there is something to do for a keeper, so that it asks once and not once per duty.
KEYS  1 base of the namespace
ARGV  1.. kinds: those sorted by a time
Returns the kinds among them in which that of the first is over ]]
local at, found = clock(), {}
for _, kind in ipairs(ARGV) do
  if redis.call("ZCOUNT", key_of(kind), "-inf", at) > 0 then add(found, kind) end
end
return found
