-- flags: allow-oom
-- include: _drop
-- include: _kin
-- include: _birth
--[[ settle: a run whose end is kept goes one step on: undo what was done last, or continue, or say that it may end.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 "1" if it ends badly  5 steps of the births, see create  6 states of an ended or restarted run
Returns {code, state, run, id, run and message of each job to publish…}:
      ok | wait (it has children that live) | end (nothing is left to wait for) | missing ]]
local id, op, by, bad = unpack(ARGV)
local job, at, B = load(id), clock(), bonds()
if not job.state then return {"missing", "", 0} end
B.know(job)
if not job.ending or tonumber(job.alive or 0) > 0 then return {"wait", job.state, job.run} end
B.reply = {"ok"}

local function launch(entry, letters, upon, reason)
  local child_id, kept = entry:match("^([^\t]*)\t(.*)$")
  local child, fields = load(child_id), cjson.decode(kept)
  local now = given(fields)
  add(fields, "up", id, "upon", upon, "bonds", (now.bonds or "") .. letters, "submitted", at)
  if child.state then drop(child) end
  child = load(child_id)
  join(child, fields, ARGV[6])
  list(child, now.owner, now.tags, at)
  child.bonds = (now.bonds or "") .. letters
  local ready = begin(child, {start = "", after = "", idle = ""}, ARGV[5], ARGV[6], at, op, by, reason, fields)
  B.join(child, at)
  if ready then B.go(child, at) end
end

local undo = bad == "1" and redis.call("RPOP", key("rollback", id))
local continue = bad ~= "1" and job["then"]
if undo then
  local targets = walk(job.state, B.G.roll_back)
  if targets then
    record(job, targets, at, op, by, "its compensations run, newest first")
    save(job, at)
    B.moved(job, at, op, by)
  end
  launch(undo, "PK", "ignore", "it undoes a step of " .. id)
elseif continue then
  redis.call("HDEL", job.key, "then")
  launch(continue, "PN", "fail", "it continues " .. id)
else
  return {"end", job.state, job.run}
end
table.insert(B.reply, 2, job.state)
table.insert(B.reply, 3, job.run)
return B.reply
