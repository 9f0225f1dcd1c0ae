-- flags: allow-oom
--[[ disown: a worker forgets a run it holds no more: somebody else tells its job of its end.
KEYS  1 base of the namespace
ARGV  1 id  2 worker  3 states a held run may stand in
Returns {code}: ok | refused (it holds it) ]]
local id, worker, active = unpack(ARGV)
local holder, state, hook = unpack(redis.call("HMGET", key("job", id), "worker", "state", "hook"))
hook = hook or ""
if holder == worker and has(active, state) or hook:match("^%d+$") or hook:match("^%d+ %S+ (.*)") == worker then
  return {"refused"}
end
redis.call("SREM", key("held", worker), id)
return {"ok"}
