-- flags: allow-oom
-- include: _bonds
--[[ unblock: lift a block, and let the jobs behind it go, in the order of their queue time, so many at a time.
KEYS  1 base of the namespace
ARGV  1 operation  2 by  3 kind and name  4 how many  5 its text, "" for any, "-" if it is being lifted
Returns {code, "", how many are still to go, id, run and message of each job to publish…}: ok | missing ]]
local op, by, block, most = unpack(ARGV)
local text, at, B = redis.call("HGET", key("blocks"), block), clock(), bonds()
local lifted = (text or ""):sub(1, 1) == "~"
local known = ARGV[5] == "" or ARGV[5] == text or ARGV[5] == "-" and lifted
if not text or not known then return {"missing", "", 0} end
local line = key("blocked", block)
B.reply = {"ok", ""}
redis.call("HSET", key("blocks"), block, "~" .. at)
for _, id in ipairs(redis.call("ZRANGE", line, 0, most - 1)) do
  local job = load(id)
  local ready = job.state and B.place(job, at, op, by, block .. " is back")
  if ready then B.go(job, at) elseif ready == nil then redis.call("ZREM", line, id) end
end
local left = redis.call("ZCARD", line)
if left == 0 then redis.call("HDEL", key("blocks"), block) end
table.insert(B.reply, 3, left)
return B.reply
