-- flags: allow-oom
--[[ disown: a worker forgets a run it holds no more: somebody else tells its job of its end, or starts it.
KEYS  1 base of the namespace
ARGV  1 id  2 worker  3 states a held run may stand in  4 states of one that may start
Returns {code}: ok | refused (it holds it) ]]
local id, worker, active, ready = unpack(ARGV)
local holder, state, hook = unpack(redis.call("HMGET", key("job", id), "worker", "state", "hook"))
hook = hook or ""
if holder == worker and has(active, state) or hook:match("^%d+$") and not has(ready, state or "") or hook:match("^%d+ %S+ (.*)") == worker then
  return {"refused"}
end
local held = redis.call("SREM", key("held", worker), id) == 1
if held and has(ready, state or "") then redis.call("ZADD", key("outbox"), clock(), id) end -- its message was reserved, and is lost
return {"ok"}
