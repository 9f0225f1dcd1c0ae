-- include: _failures
-- The history of executions: a stream, and of each definition where its own stand in it.  Needs _definition and _birth.
local MONTH, BYTES, MESSAGE = 31 * 86400000, 67108864, 4000

-- A place in the stream for this moment, behind all others.
local function place(at)
  local last = redis.call("XREVRANGE", key("history"), "+", "-", "COUNT", 1)[1]
  local ms, number = (last and last[1] or "0-0"):match("(%d+)-(%d+)")
  return tonumber(ms) >= at and ms .. "-" .. (number + 1) or at .. "-0"
end

-- Drop what is too old, or too much.
local function bound(name, at)
  local age, bytes = unpack(redis.call("HMGET", key("about"), "history_age", "history_bytes"))
  local own, all = key("executions", name), key("history")
  redis.call("XTRIM", all, "MINID", "~", at - (age or MONTH))
  local length = redis.call("XLEN", all)
  if length % 64 == 0 and redis.call("MEMORY", "USAGE", all) > tonumber(bytes or BYTES) then
    redis.call("XTRIM", all, "MAXLEN", "~", math.floor(length * 0.9))
  end
  local first = redis.call("XRANGE", all, "-", "+", "COUNT", 1)[1]
  redis.call("ZREMRANGEBYSCORE", own, "-inf", "(" .. first[1]:match("%d+"))
  redis.call("PEXPIRE", own, age or MONTH)
end

-- A run of a definition has ended.
local function conclude(job, name, at, fields)
  local facts, stamp = given(fields), place(at)
  local task, source, began = unpack(redis.call("HMGET", job.key, "task", "source", "started"))
  local message = facts.note or ""
  -- Of a failure the record has more to say than one line.
  if facts.failure then message = table.concat(cjson.decode(facts.failure), ": ", 1, 2) end
  local queued = job.path:match("%d+\t" .. job.run .. "\t[^\t]*\t(%d+)\t")
  redis.call("XADD", key("history"), stamp, "definition", name, "job", job.id, "run", job.run, "task", task or "",
    "source", source or "", "queued", queued or "", "started", began or "", "ended", at, "state", job.state,
    "outcome", facts.outcome or "", "message", message:sub(1, MESSAGE),
    "agent", (job.worker or ""):match("^[^|]*"))
  redis.call("ZADD", key("executions", name), at, stamp)
  bound(name, at)
  count_failure(name, facts.failure ~= nil)
end
