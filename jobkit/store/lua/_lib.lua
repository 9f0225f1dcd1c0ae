--[[ What the verbs on a job begin with.  No state is named here: walks through the graph are made by states.steps(). ]]
local PATH_LIMIT = 16384 -- bytes of path kept; past it the oldest quarter goes

-- The record of a job: the fields every verb needs, and those named besides.
local function load(id, ...)
  local name = key("job", id)
  local v = redis.call("HMGET", name, "state", "run", "seq", "path", "token", "worker", "after", "start", "owner", "tags",
                       "submitted", "next", "followed", "bonds", "retain", "since", ...)
  -- Made at its full size at once: every verb makes one.
  local job = {
    id = id, key = name, state = v[1] or nil, run = tonumber(v[2] or 0), seq = tonumber(v[3] or 0), path = v[4] or "",
    token = v[5] or nil, worker = v[6] or nil, after = v[7] or nil, start = v[8] or nil, owner = v[9] or nil,
    tags = v[10] or nil, submitted = v[11] or nil, next = v[12] or nil, followed = v[13] or nil, bonds = v[14] or nil,
    retain = v[15] or nil, since = v[16] or nil, indexed = v[1] or nil, news = {}, latest = nil, stamp = nil,
  }
  for i = 1, select("#", ...) do job[select(i, ...)] = v[16 + i] or nil end
  return job
end

-- What is needed to publish it, or false: long, so that only who needs it reads it.
local function message_of(job)
  if job.message == nil then job.message = redis.call("HGET", job.key, "message") end
  return job.message
end

-- Was this operation already applied?  Its id stands in the path: a reply lost and a call repeated apply once.
local function seen(job, op) return job.path:find("\t" .. op .. "\t", 1, true) ~= nil end

-- Whose is the run: his who claimed it, or, for a child that died and has no token any more, its worker's.  A token that
-- is another's is not made good by its worker: after a power cut two of its children may have claimed the same run.
local function holds(job, token, worker)
  if token ~= "" and job.token then return token == job.token end
  return worker ~= "" and worker == job.worker
end

-- The states a walk leads through from `state`, or nil and the first state it cannot reach.
local function walk(state, steps)
  local targets, place = {}, 1
  while place <= #steps do
    local optional, arrow = steps:byte(place) == 63, steps:find(">", place, true)
    local stop = steps:find(";", arrow, true) or #steps + 1
    local target = steps:sub(arrow + 1, stop - 1)
    if has(steps:sub(optional and place + 1 or place, arrow - 1), state) then
      targets[#targets + 1], state = target, target
    elseif not optional then
      return nil, target
    end
    place = stop + 1
  end
  return targets
end

-- When this step of the job is, for all who read of it: the clock of Redis may go back, its path does not.
local function later(job, at)
  local latest = job.latest or tonumber(job.since) or 0
  if not job.latest or at > latest then
    job.latest = at > latest and at or latest
    job.stamp = digits(job.latest)
  end
  return job.latest
end

-- Append the steps to the path; save() writes it, and tells the watchers what is written then.
local function record(job, targets, at, op, by, reason, born)
  local from = born and "" or job.state or ""
  later(job, at)
  for _, target in ipairs(targets) do
    job.seq = job.seq + 1
    local line = ("%d\t%d\t"):format(job.seq, job.run) .. target .. "\t" .. job.stamp .. "\t" .. op .. "\t" .. by .. "\t" .. reason
    job.path, job.state = job.path .. line .. "\n", target
    job.news[#job.news + 1] = from .. "\t" .. line
    from = target
  end
end

-- Write the job back, with these fields and values besides, and put it into the index of its state.
local function save(job, at, fields)
  if #job.path > PATH_LIMIT then job.path = job.path:sub(job.path:find("\n", PATH_LIMIT / 4, true) + 1) end
  later(job, at)
  if job.indexed and job.indexed ~= job.state then redis.call("ZREM", key("state", job.indexed), job.id) end
  redis.call("ZADD", key("state", job.state), job.stamp, job.id)
  redis.call("HSET", job.key, "state", job.state, "run", digits(job.run), "seq", digits(job.seq), "path", job.path,
             "since", job.stamp, unpack(fields or {}))
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
