-- flags: allow-oom
-- include: _definition
-- include: _bonds
-- include: _drop
-- include: _kin
-- include: _genuine
-- rarely: bonds, join, revive, owe, newest, started
--[[ claim: a worker starts this run; whoever is second is told so.
KEYS  1 base of the namespace
ARGV  1 id  2 token, which is also the operation  3 by  4 reason  5 run of the message, "" from a client without jobkit; a space; its digest, or ""
      6 letters: "r" if the broker redelivered it, "u" if a job without a record is accepted
      7 worker  8 pid  9 ms it may run, or ""
      10 how many of what follows are for every claim  11.. fields and values, then those of a job without a record
Returns {code, state, run}, if there is more {…, checkpoint, owner, tags, worker, restarts so far, run to be told}, and, of a definition that
      has them, its arguments, data and log level as they are now:
      ok | again | blocked (it waits for that) | hook (it is over: tell it) | removing (it was aborted: end it) | stale (another run) | altered (it is not what was submitted) | refused | missing ]]
local id, token, by, reason = unpack(ARGV, 1, 4)
local run, digest = unpack(cut(ARGV[5], " "))
local job, at = load(id, "checkpoint", "restarts", "queue", "priority", "hook", "message", "task", "definition"), clock()
local fields = {"token", token, "worker", ARGV[7], "pid", ARGV[8], "started", digits(at)}
local common = 10 + ARGV[10]
add(fields, unpack(ARGV, 11, common))
local function answer(code)
  if not (job.checkpoint or job.owner or job.tags or job.worker or job.restarts or job.hook or definition_of(id)) then
    return {code, job.state or "", job.run}
  end
  local reply = {code, job.state or "", job.run, job.checkpoint or "", job.owner or "", job.tags or "",
                 job.worker or "", job.restarts or "", job.hook or ""}
  if definition_of(id) then add(reply, newest(definition_of(id), at)) end
  return reply
end

-- The end of a run is told by one: who asked first for a run that is not over, however often he asks.
local told, teller = nil, nil
if job.hook then told, teller = job.hook:match("^(%d+) ?(%S*)") end
job.hook = teller == token and told or nil
if seen(job, token) or job.token == token then return answer(job.token == token and "again" or "stale") end
if run ~= "" then
  if not job.state then return answer("missing") end
  if tonumber(run) ~= job.run then return answer("stale") end
elseif not ARGV[6]:find("u", 1, true) then
  if not job.state then return answer("missing") end
elseif not job.state or (has(OVER, job.state) and not ARGV[6]:find("r", 1, true)) then
  -- A client without jobkit sent it: this is the first that is known of it, or it sent the same id once more.
  job.run = job.run + 1
  record(job, walk("", BIRTH), at, token .. "b", "client", "sent without jobkit", true)
  local given = {unpack(ARGV, common + 1)}
  join(job, given, OVER)
  add(fields, "submitted", at, unpack(given))
  revive(job)
end

if teller == "" then
  job.hook = told
  redis.call("HSET", job.key, "hook", told .. " " .. token .. " " .. ARGV[7])
  redis.call("SADD", key("held", ARGV[7]), id)
end
if job.hook == run and has(OVER, job.state) then
  redis.call("ZREM", key("outbox"), id)
  return answer("hook")
end
-- May a block hold it back?  What it has says so, but for its host, which is a bond, and before it has a record.
local function may_be_held()
  if job.bonds then return true elseif run == "" then return redis.call("EXISTS", key("blocks")) == 1 end
  local definition = job.definition or definition_of(id) or ""
  for _, block in ipairs(redis.call("HMGET", key("blocks"), "task " .. (job.task or ""), "queue " .. (job.queue or ""),
                                    "owner " .. (job.owner or ""), "definition " .. definition)) do
    if block then return true end
  end
end

local targets = walk(job.state, CLAIM)
if not is_genuine(job, digest) then
  if targets then owe(job, at, 0) end
  return answer("altered")
end
if targets and job.bonds and bonds().give_up(job, at, token .. "r", by) then return answer("removing") end
if targets and may_be_held() then
  local born = {unpack(fields, 9 + ARGV[10])}
  if bonds().is_blocked(job, born) then
    bonds().place(job, at, token, by, "it may not start", born)
    redis.call("SREM", key("held", ARGV[7]), id)
    return answer("blocked")
  end
end
if not targets then
  if walk(job.state, REMOVAL) then return answer("removing") end
  -- Its message is done with; but another process of this worker may run it, or tell it of its end.
  if not told and job.worker ~= ARGV[7] then redis.call("SREM", key("held", ARGV[7]), id) end
  return answer("refused")
end
record(job, targets, at, token, by, reason)
if job.run > 1 then redis.call("HDEL", job.key, "meta", "progress", "outcome", "note", "failure", "ended", "expires", "keep") end
redis.call("SADD", key("held", ARGV[7]), id)
if job.since then redis.call("HSET", key("reached"), (job.queue or "") .. "~" .. (job.priority or ""), job.since) end
if ARGV[9] ~= "" then redis.call("ZADD", key("deadlines"), at + ARGV[9], id) end
save(job, at, fields)
if job.bonds then bonds().moved(job, at, token, by) end
if definition_of(id) then started(definition_of(id), at) end
return answer("ok")
