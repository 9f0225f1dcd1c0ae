--[[ rescue: take over the runs of workers whose lease has run out; the caller holds them now, and has to settle them.
KEYS  1 base of the namespace
ARGV  1 the caller's worker  2 how many at most  3 states a held run may stand in
Returns {id, run, worker that vanished, rescues allowed, rescues so far, message, task, …} ]]
local me, most, active = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local taken = {}
for _, worker in ipairs(redis.call("ZRANGEBYSCORE", key("workers"), "-inf", clock(), "LIMIT", 0, 20)) do
  local held = redis.call("SRANDMEMBER", key("held", worker), most)
  for _, id in ipairs(held) do
    local job = load(id)
    redis.call("SREM", key("held", worker), id)
    if job.state and job.worker == worker and has(active, job.state) then
      local allowed, so_far, task = unpack(redis.call("HMGET", job.key, "rescues", "rescued", "task"))
      redis.call("HSET", job.key, "worker", me, "token", "")
      redis.call("SADD", key("held", me), id)
      for _, value in ipairs({id, job.run, worker, allowed or "", so_far or "", job.message or "", task or ""}) do
        taken[#taken + 1] = value
      end
    end
  end
  if #held == 0 and worker ~= me then redis.call("ZREM", key("workers"), worker) end
  most = most - #held
  if most <= 0 then break end
end
return taken
