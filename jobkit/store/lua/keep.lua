-- include: _bonds
--[[ keep: keep what is to run for a job later: one more compensation, or the continuation after its children.
KEYS  1 base of the namespace
ARGV  1 id  2 run  3 token  4 "rollback" or "then"  5 id of the job it will be  6 its fields and values, as JSON  7 how many at most
Returns {code, state, run}: ok | again (it is kept already) | full | fenced | missing ]]
local job = load(ARGV[1])
if not job.state then return {"missing", "", 0} end
if tonumber(ARGV[2]) ~= job.run or ARGV[3] ~= job.token then return {"fenced", job.state, job.run} end
local entry, line = ARGV[5] .. "\t" .. ARGV[6], key("rollback", job.id)
if ARGV[4] == "then" then
  if redis.call("HGET", job.key, "then") == entry then return {"again", job.state, job.run} end
  redis.call("HSET", job.key, "then", entry)
  return {"ok", job.state, job.run}
end
for _, kept in ipairs(redis.call("LRANGE", line, 0, -1)) do
  if kept:match("^[^\t]*") == ARGV[5] then return {"again", job.state, job.run} end
end
if redis.call("LLEN", line) >= tonumber(ARGV[7]) then return {"full", ARGV[7], 0} end
redis.call("RPUSH", line, entry)
bonds().flag(job, "R")
return {"ok", job.state, job.run}
