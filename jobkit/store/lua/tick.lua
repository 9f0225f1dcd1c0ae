-- include: _drop
-- include: _bonds
-- include: _birth
-- include: _coalesce
-- include: _slot
-- include: _ask
--[[ tick: take the due slot of a definition, once, whoever is first; with it comes the run, or the reason for none.
KEYS  1 base of the namespace
ARGV  1 definition  2 job  3 operation, the slot's own  4 by  5 reason  6 slot, ms  7 version the caller read
      8 next slot and 9 when it fires, ms, or ""  10 what to do: fire | pass (nothing)  11 if the job has not ended:
      skip | buffer | cancel | wait (leave the slot for later)  12 slots missed besides  13 rows of a cancel
      14..21 terms, see _launch  22.. fields and values of the run
Returns {code, state, run, id, run and message if it is to be published}:
      queued | joined | requeued | advanced | skipped | passed | busy | stale (taken, or changed meanwhile) | again ]]
local name, id, op, by, reason, slot, version, following, fire, act, overlap, missed = unpack(ARGV, 1, 12)
local own, at, t, fields = key("definition", name), clock(), terms(14), {unpack(ARGV, 22)}
local kept, seen_at, last = unpack(redis.call("HMGET", own, "slot", "version", "last"))
if last == op then return {"again", "", 0} end
if kept ~= slot or seen_at ~= version then return {"stale", "", 0} end
local job, reply, start = load(id), {"passed", "", 0}, redis.call("ZSCORE", key("ticks"), name)
if act == "fire" and live(job, t) and overlap == "wait" then
  redis.call("ZADD", key("ticks"), at + 500, name)
  return {"busy", job.state, job.run}
end
if act == "fire" and live(job, t) then
  local waits = has(t.unstarted, job.state)
  if overlap == "skip" and not waits then
    reply = {"skipped", job.state, job.run}
  else
    if overlap == "cancel" and not waits then tell(job, ARGV[13], at, op .. "c", by, reason, "") end
    reply = join(job, at, t, at, op, by, reason, fields)
  end
elseif act == "fire" then
  reply = launch(job, {op = op, start = "", after = "", idle = ""}, t, at, op, by, reason, fields)
end
if following == "" then
  redis.call("ZREM", key("ticks"), name)
  redis.call("HDEL", own, "slot")
else
  redis.call("ZADD", key("ticks"), fire, name)
  redis.call("HSET", own, "slot", following)
end
note_slot(own, op, act == "fire" and reply[1], slot, at - start, missed)
return reply
