-- flags: allow-oom
--[[ log: keep a line a running job logged; past the limit the oldest lines go.
KEYS  1 base of the namespace
ARGV  1 id  2 run  3 token  4 number of the line in this run  5 level  6 text  7 bytes kept
Returns {code, state, run}: ok | again | fenced | missing ]]
local id, run, token, number, level, text, limit = unpack(ARGV)
local job, at = load(id), clock()
if not job.state then return {"missing", "", 0} end
if tonumber(run) ~= job.run or not holds(job, token, "") then return {"fenced", job.state, job.run} end
local lines, last = unpack(redis.call("HMGET", job.key, "log", "logged"))
local of, kept = (last or ""):match("(%d+)%.(%d+)")
if of == run and tonumber(kept) >= tonumber(number) then return {"again", job.state, job.run} end
lines = (lines or "") .. table.concat({at, run, level, text}, "\t") .. "\n"
if #lines > tonumber(limit) then lines = lines:sub((lines:find("\n", #lines - limit, true) or 0) + 1) end
redis.call("HSET", job.key, "log", lines, "logged", run .. "." .. number)
return {"ok", job.state, job.run}
