-- flags: allow-oom
--[[ read: fields of a record; of an ended job that is a use.  Of one that is not there: what is known of it.
KEYS  1 base of the namespace
ARGV  1 id  2.. fields; none: all
Returns {"ok", values or fields and values, 1 if it is kept until it is read} | {"gone", what became of it}
      | {"missing", when the first of those gone was submitted, until when some of those gone are not known any more} ]]
local id, index = ARGV[1], key("retention")
local values = redis.call("HMGET", key("job", id), "state", "owner", "ended", "expires", "retain", unpack(ARGV, 2))
local state, owner, ended, expires, retain = unpack(values, 1, 5)
if state then
  if expires and has(OVER, state) then
    local used = redis.call("ZADD", key("ended", owner or ""), "XX", "CH", digits(clock() + expires - ended), id)
    if used == 1 then redis.call("ZADD", key("read"), expires, id) end
  end
  local unread = retain and retain:find("|u|", 1, true) and has(OVER, state) and 1 or 0
  if #ARGV > 1 then return {"ok", {unpack(values, 6, #ARGV + 4)}, unread} end
  return {"ok", redis.call("HGETALL", key("job", id)), unread}
end
local number, opened, last, lost, oldest = unpack(redis.call("HMGET", index, "book", "opened", "last", "lost", "oldest"))
number = tonumber(number or 0)
for half = number, math.max(1, number - 1), -1 do
  local known = redis.call("HGET", key("gone", half), id)
  if known then return {"gone", known} end
end
-- A half that Redis let expire, or took when memory was full, is not known any more either.
if number > 1 and redis.call("EXISTS", key("gone", number - 1)) == 0 then lost = opened end
if number > 0 and redis.call("EXISTS", key("gone", number)) == 0 then lost = last end
return {"missing", oldest or "", lost or ""}
