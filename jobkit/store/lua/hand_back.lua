-- flags: allow-oom
--[[ hand_back: a worker puts the message of a job it has reserved and not begun back into its queue; not of one it runs,
nor of one it holds no more: that is published again anyway.
KEYS  1 base of the namespace
ARGV  1 id  2 worker  3 states a held run may stand in  4 db of the queues, "" where it is that of the records
      5.. L or R, the end it is put to, key of a queue, message, …
Returns {code}: ok | refused ]]
local id, worker, active, db = unpack(ARGV, 1, 4)
local holder, state = unpack(redis.call("HMGET", key("job", id), "worker", "state"))
if holder == worker and has(active, state or "") or redis.call("SREM", key("held", worker), id) == 0 then
  return {"refused"}
end
if db ~= "" then redis.call("SELECT", db) end
for i = 5, #ARGV, 3 do redis.call(ARGV[i] .. "PUSH", ARGV[i + 1], ARGV[i + 2]) end
return {"ok"}
