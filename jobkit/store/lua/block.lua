--[[ block: hold back all jobs of a host, task, queue, owner or definition; every claim from now on looks.
KEYS  1 base of the namespace
ARGV  1 kind and name  2 what is to be known of it, as JSON
Returns {code}: ok | again ]]
if redis.call("HGET", key("blocks"), ARGV[1]) == ARGV[2] then return {"again", "", 0} end
redis.call("HSET", key("blocks"), ARGV[1], ARGV[2])
return {"ok", "", 0}
