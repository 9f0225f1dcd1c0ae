--[[ undefine: delete definitions, each only in the version that is meant; what they have queued still runs, what they
ran stays in the history.
KEYS  1 base of the namespace
ARGV  of each: id, version ("": any)
Returns ids of those that were deleted ]]
local gone = {}
for i = 1, #ARGV, 2 do
  local id = ARGV[i]
  local version = redis.call("HGET", key("definition", id), "version")
  if version and (ARGV[i + 1] == "" or ARGV[i + 1] == version) then
    redis.call("DEL", key("definition", id))
    redis.call("ZREM", key("definitions"), id)
    redis.call("ZREM", key("ticks"), id, id .. "~backup", id .. "~end")
    add(gone, id)
  end
end
return gone
