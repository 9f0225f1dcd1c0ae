-- include: _undefine
--[[ undefine: delete definitions, each only in the version that is meant.
KEYS  1 base of the namespace
ARGV  of each: id, version ("": any)
Returns ids of those that were deleted ]]
local gone = {}
for i = 1, #ARGV, 2 do
  local id = ARGV[i]
  local version = redis.call("HGET", key("definition", id), "version")
  if version and (ARGV[i + 1] == "" or ARGV[i + 1] == version) then
    undefine(id)
    add(gone, id)
  end
end
return gone
