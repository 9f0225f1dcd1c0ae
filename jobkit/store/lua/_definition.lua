--[[ What the jobs of a definition have besides; others are told by their id and pay nothing.  A definition's job is
"@" and its id; one that runs beside others of it has "~" and a name of its own behind that. ]]
local function definition_of(id) return id:byte(1) == 64 and id:match("^@([^~]+)") end

-- A run has started: the backup is put off.
local function started(name, at)
  local every = redis.call("HGET", key("definition", name), "backup_every")
  if every and every ~= "" then redis.call("ZADD", key("ticks"), "XX", at + every, name .. "~backup") end
end

-- The arguments and the log level as the definition has them now.
local function newest(name, at)
  local args, data, level, over, before = unpack(
    redis.call("HMGET", key("definition", name), "args", "data", "log_level", "log_until", "log_before"))
  if over and over ~= "" and tonumber(over) <= at then level = before end
  return args or "", data or "", level or ""
end
