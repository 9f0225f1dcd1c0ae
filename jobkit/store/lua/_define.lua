-- Write a definition, and when its slots, its backup and its end come.
local function define(one, at, op, by, expires)
  local ticks, slot = key("ticks"), redis.call("HGET", one.key, "slot")
  redis.call("HSET", one.key, "version", one.version, "op", op, "by", by, "updated", at, unpack(one.fields))
  redis.call("HSETNX", one.key, "created", at)
  redis.call("ZADD", key("definitions"), 0, one.id)
  if one.declared ~= "" then redis.call("HSET", key("declared"), one.id, one.declared) end
  local due = tonumber(redis.call("ZSCORE", ticks, one.id) or "inf") <= at
  if one.slot == "" then
    redis.call("ZREM", ticks, one.id)
    redis.call("HDEL", one.key, "slot")
  elseif one.slot ~= "keep" and not (due and slot) then
    -- A slot that is due and was not taken yet is not lost by an edit.
    redis.call("ZADD", ticks, one.fire, one.id)
    redis.call("HSET", one.key, "slot", one.slot)
  end
  if one.backup == "" then redis.call("ZREM", ticks, one.id .. "~backup") end
  if tonumber(one.backup) then redis.call("ZADD", ticks, at + one.backup, one.id .. "~backup") end
  if expires ~= "" then redis.call("ZADD", key("expiring"), at + expires, one.id) end
end
