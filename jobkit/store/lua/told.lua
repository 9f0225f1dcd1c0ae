-- flags: allow-oom
-- include: _drop
-- include: _bonds
-- include: _birth
-- include: _next
-- include: _spent
--[[ told: the job has heard of the end of a run, or will not; what waited for that goes on, and so does the job if it says so.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 run it was told of  5 token of who told it, "" if nobody has begun  6 his worker
      7 "?" if nobody has begun and others may, else why it was stopped in the middle of it, or ""  8 steps of the restart  9 when it is to run again: see finish
      10 what nobody needs any more if it is not, see _spent, or ""  11 steps of the births  12 states of an ended or restarted run
      13 steps of a release now  14 later  15 ms until somebody else may publish what is owed  16.. fields and values
Returns {code, state, run, id, run and message of each job to publish…}: ok | again | refused | fenced | missing ]]
local id, op, by, run, token, worker, broken = unpack(ARGV, 1, 7)
local job, at = load(id, "hook"), clock()
if not job.state then return {"missing", "", 0} end
if seen(job, op) then return {"again", job.state, job.run} end
local expected = token == "" and run or run .. " " .. token .. " " .. worker
if job.hook ~= expected then return {job.hook and "fenced" or "again", job.state, job.run} end
local current, more = tonumber(run) == job.run, ARGV[9] ~= "" and message_of(job) and not job.next
local restart, blocked = nil, nil
if more then
  if current then restart, blocked = walk(job.state, ARGV[8]) end
  if not restart or #restart == 0 then return {"refused", job.state, job.run, blocked or "another run"} end
end

local reply = {"ok", job.state, job.run}
if broken == "?" then redis.call("HSET", job.key, "hook", run) else redis.call("HDEL", job.key, "hook") end
if not (job.token and job.worker == worker) then redis.call("SREM", key("held", worker), id) end -- it may run there again
if ARGV[16] then redis.call("HSET", job.key, unpack(ARGV, 16)) end
if #broken > 1 then redis.call("HSET", job.key, "hook_interrupted", run .. " " .. broken) end
if restart then
  local idle = ARGV[9] == "never"
  job.next = cjson.encode({start = idle and "" or tostring(at + ARGV[9]), idle = idle and "1" or "", fields = {}})
  record(job, restart, at, op, by, "planned by on_finished")
  reply[2] = job.state
  revive(job)
  local _, _, kin = wishes(job.retain)
  if kin ~= "" then rejoin(kin) end
  if job.bonds then bonds().grow_up(job) end
  begin_next(job, ARGV[11], ARGV[12], at, op, by, ARGV[15], {}, reply)
elseif current and broken == "?" then
  -- The queue brings it to another, if it is not about to: its message may be gone with who had it.
  if message_of(job) and redis.call("ZADD", key("outbox"), "LT", "CH", at + ARGV[15], id) == 1 then
    add(reply, id, job.run, message_of(job))
  end
elseif current then
  if ARGV[10] ~= "" then redis.call("HDEL", job.key, spent(ARGV[10])) end
elseif tonumber(run) == job.run - 1 and not held_by(job, ARGV[12]) then
  go_on(job, ARGV[13], ARGV[14], at, op, by, "its last run is over", ARGV[15], reply)
end
if made then made.wake(at, op, by) end
return reply
