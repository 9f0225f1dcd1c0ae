-- flags: allow-oom
--[[ reserve: a worker takes messages off its queues, as many as it has room for.  Those of recorded jobs it holds from
now on: if it dies, they are published again.  Others are kept as kombu keeps what was not acknowledged.
KEYS  1 base of the namespace
ARGV  1 worker  2 how many at most  3 how many of one queue  4 db of the records, "" where it is the broker's too
      5 kombu's hash of what was not acknowledged  6 its index  7 score in that
      8 how many ids follow, of messages it took already  9.. those ids, then the keys of the queues in their order
Returns {queue, message, 1 if it holds its job, …} ]]
local worker, room, share, db, unacked, index, score = unpack(ARGV, 1, 7)
local queues, held, taken = 9 + ARGV[8], {unpack(ARGV, 9, 8 + ARGV[8])}, {}
room, share = tonumber(room), tonumber(share)

local function keep(message)
  -- A quote inside of a text is written with a backslash: this is the header, or the job has no record.
  local id = message:find('"job_run": %d') and message:match('"id": "([^"\\]+)"')
  if id then
    add(held, id)
    return 1
  end
  local whole, read = pcall(cjson.decode, message)
  if not whole or type(read) ~= "table" or not read.properties then return 0 end -- its reader will say what is wrong
  local tag, info = read.properties.delivery_tag, read.properties.delivery_info
  redis.call("ZADD", index, score, tag)
  redis.call("HSET", unacked, tag,
             "[" .. message .. ", " .. cjson.encode(info.exchange) .. ", " .. cjson.encode(info.routing_key) .. "]")
  return 0
end

for place = queues, #ARGV do
  if room <= 0 then break end
  -- Half of what waits, at most: others may be idle.
  local waiting = redis.call("LLEN", ARGV[place])
  local most = math.min(room, share, math.ceil(waiting / 2))
  for _, message in ipairs(most > 0 and redis.call("RPOP", ARGV[place], most) or {}) do
    add(taken, ARGV[place], message, keep(message))
    room = room - 1
  end
  if most < waiting then break end -- they go before what is in the queues behind
end
if #held > 0 then
  if db ~= "" then redis.call("SELECT", db) end
  redis.call("SADD", key("held", worker), unpack(held))
end
return taken
