-- What jobs have that are held back after their end.

-- What its submission and its family ask for: "ms to keep it|u if until it is read|family".
local function wishes(text)
  local keep, flags, kin = (text or "||"):match("^(%d*)|(%l*)|(.*)$")
  return tonumber(keep), flags, kin
end

-- One of a family less lives.
local function part(kin, at)
  if redis.call("HINCRBY", key("family", kin), "live", -1) <= 0 then redis.call("ZADD", key("families"), at, kin) end
end

-- One of a family more lives.
local function rejoin(kin)
  redis.call("HINCRBY", key("family", kin), "live", 1)
  redis.call("ZREM", key("families"), kin)
end

-- Nobody holds it.
local function unpinned(job)
  redis.call("DEL", key("pins", job.id))
  if redis.call("ZREM", key("pinned"), job.id) == 0 then return end
  if redis.call("HINCRBY", key("pinners"), job.owner or "", -1) <= 0 then
    redis.call("HDEL", key("pinners"), job.owner or "")
  end
end
