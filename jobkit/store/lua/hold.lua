-- include: _bonds
--[[ hold: take the jobs a block holds back out of the way, one page of those in a state; who is missed is held at its claim.
KEYS  1 base of the namespace
ARGV  1 operation  2 by  3 kind and name of the block  4 state  5 rank to go on from  6 how many to look at
Returns {rank to go on from, -1 at the end; how many are held} ]]
local op, by, block, state, from, most = unpack(ARGV)
local at, kind, name = clock(), block:match("^(%l+) (.*)$")
local ids = redis.call("ZRANGE", key("state", state), from, from + most - 1)
local held, B = 0, bonds()
for _, id in ipairs(ids) do
  local job = B.know(load(id))
  if job[kind] == name and B.block_of(job) and B.place(job, at, op, by, block .. " is blocked") == false then
    held = held + 1
  end
end
return {#ids < tonumber(most) and -1 or from + #ids - held, held}
