-- include: _define
--[[ define: create or change definitions, all or none, each only if it is still the version that was read.
KEYS  1 base of the namespace
ARGV  1 operation  2 by  3 ms until they are deleted, or ""  4.. of each: id, version it has ("0": there is none),
      slot and fire time, ms (both "": none; both "keep": as they are), ms of its backup (or "", or "keep"),
      "1" if code declares it so, how many fields and values follow, and these
Returns {code, …}: ok, versions | again, versions | conflict, id, version, of each that has another ]]
local op, by, at = ARGV[1], ARGV[2], clock()
local found, conflicts, done, i = {}, {"conflict"}, true, 4
while i <= #ARGV do
  local one = {id = ARGV[i], slot = ARGV[i + 2], fire = ARGV[i + 3], backup = ARGV[i + 4], declared = ARGV[i + 5]}
  one.key, one.fields = key("definition", one.id), {unpack(ARGV, i + 7, i + 6 + ARGV[i + 6])}
  local version, last = unpack(redis.call("HMGET", one.key, "version", "op"))
  one.version = tonumber(version or 0)
  if last ~= op then
    done = false
    if one.version ~= tonumber(ARGV[i + 1]) then add(conflicts, one.id, one.version) end
  end
  add(found, one)
  i = i + 7 + ARGV[i + 6]
end
local reply = {done and "again" or "ok"}
if #conflicts > 1 then return conflicts end
for _, one in ipairs(found) do
  if not done then one.version = one.version + 1 end
  add(reply, one.version)
end
if not done then for _, one in ipairs(found) do define(one, at, op, by, ARGV[3]) end end
return reply
