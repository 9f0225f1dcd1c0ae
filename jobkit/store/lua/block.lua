--[[ block: hold back all jobs of a host, task, queue, owner or definition; the workers are told at once.
KEYS  1 base of the namespace
ARGV  1 kind and name  2 what is to be known of it, as JSON
Returns {code}: ok | again ]]
if redis.call("HGET", key("blocks"), ARGV[1]) == ARGV[2] then return {"again", "", 0} end
redis.call("HSET", key("blocks"), ARGV[1], ARGV[2])
for _, worker in ipairs(redis.call("ZRANGE", key("workers"), 0, -1)) do
  redis.call("RPUSH", key("orders", worker), "\t0\t0")
  redis.call("PEXPIRE", key("orders", worker), 3600000)
end
return {"ok", "", 0}
