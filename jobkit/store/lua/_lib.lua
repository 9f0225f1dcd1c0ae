--[[ What every script begins with.  KEYS[1] is the base of the namespace; every other key derives from it and
lies in the same slot.  No state is named here: walks through the graph come as arguments, see states.steps(). ]]
local PATH_LIMIT = 16384 -- bytes of path kept; past it the oldest quarter goes

-- `key("kind", name)` is this with what stands in front of a name of that kind: `scripts.py` puts it in place.
local function named(prefix, name) return KEYS[1] .. prefix .. (name or "") end
local function key_of(kind, name) return named(KINDS[kind], name) end

local function add(list, ...) for i = 1, select("#", ...) do list[#list + 1] = select(i, ...) end end

local FIELDS = {"state", "run", "seq", "path", "token", "worker", "after", "start", "owner", "tags",
                "submitted", "next", "followed", "bonds", "retain", "since"}

-- The record of a job: the fields every verb needs, and those named besides.
local function load(id, ...)
  local job, names = {id = id, key = key("job", id)}, FIELDS
  if ... then
    names = {unpack(FIELDS)}
    add(names, ...)
  end
  local values = redis.call("HMGET", job.key, unpack(names))
  for i, field in ipairs(names) do job[field] = values[i] or nil end
  job.run, job.seq, job.path = tonumber(job.run or 0), tonumber(job.seq or 0), job.path or ""
  job.indexed, job.news = job.state, {}
  return job
end

-- What is needed to publish it, or false: long, so that only who needs it reads it.
local function message_of(job)
  if job.message == nil then job.message = redis.call("HGET", job.key, "message") end
  return job.message
end

-- Was this operation already applied?  Its id stands in the path: a reply lost and a call repeated apply once.
local function seen(job, op) return job.path:find("\t" .. op .. "\t", 1, true) ~= nil end

local function has(list, word) return ("," .. list .. ","):find("," .. word .. ",", 1, true) ~= nil end

-- Whose is the run: his who claimed it, or, for a child that died and has no token any more, its worker's.  A token that
-- is another's is not made good by its worker: after a power cut two of its children may have claimed the same run.
local function holds(job, token, worker)
  if token ~= "" and job.token then return token == job.token end
  return worker ~= "" and worker == job.worker
end

-- The states a walk leads through from `state`, or nil and the first state it cannot reach.
local function walk(state, steps)
  local targets = {}
  for step in steps:gmatch("[^;]+") do
    local optional, sources, target = step:match("^(%??)([^>]*)>(.*)$")
    if has(sources, state) then
      targets[#targets + 1], state = target, target
    elseif optional == "" then
      return nil, target
    end
  end
  return targets
end

-- When this step of the job is, for all who read of it: the clock of Redis may go back, its path does not.
local function later(job, at)
  job.latest = math.max(job.latest or tonumber(job.since) or 0, at)
  return job.latest
end

-- Append the steps to the path; save() writes it, and tells the watchers what is written then.
local function record(job, targets, at, op, by, reason, born)
  local from, at = born and "" or job.state or "", later(job, at)
  for _, target in ipairs(targets) do
    job.seq = job.seq + 1
    local line = table.concat({job.seq, job.run, target, at, op, by, reason}, "\t")
    job.path, job.state = job.path .. line .. "\n", target
    add(job.news, from .. "\t" .. line)
    from = target
  end
end

-- Write the job back, with these fields and values besides, and put it into the index of its state.
local function save(job, at, fields)
  if #job.path > PATH_LIMIT then job.path = job.path:sub(job.path:find("\n", PATH_LIMIT / 4, true) + 1) end
  if job.indexed and job.indexed ~= job.state then redis.call("ZREM", key("state", job.indexed), job.id) end
  redis.call("ZADD", key("state", job.state), later(job, at), job.id)
  redis.call("HSET", job.key, "state", job.state, "run", job.run, "seq", job.seq, "path", job.path, "since", job.latest,
             unpack(fields or {}))
  for _, news in ipairs(job.news) do redis.call("PUBLISH", key("events", job.id), news) end
end

-- Somebody has to publish this job's message by then: whoever asked does it now, a keeper if he did not.
local function owe(job, at, lease) redis.call("ZADD", key("outbox"), at + lease, job.id) end

-- It waits for the job before it, which has to know: most jobs are waited for by nobody, and look for nobody at their end.
local function follow(job)
  if (job.after or "") == "" then return end
  redis.call("SADD", key("after", job.after), job.id)
  redis.call("HSET", key("job", job.after), "followed", 1)
end

-- May the run be queued, or has it to wait: for the job before it, or for its own last run, still in `on_finished`?
local function held_by(job, ended)
  if job.telling then return true end
  if not job.after or job.after == "" then return false end
  local state = redis.call("HGET", key("job", job.after), "state")
  return state and not has(ended, state)
end
