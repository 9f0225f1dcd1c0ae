--[[ create: record a job, or a new run of it, before its message is published.
KEYS  1 base of the namespace
ARGV  1 id  2 operation  3 by  4 reason  5 start, ms or ""  6 predecessor's id or ""
      7 steps of a birth now  8 later  9 after another  10 of a birth without a start, or ""  11 steps of "replace"
      12 states of an ended or restarted run  13 tags  14.. fields and values
Returns {code, state, run}: ok | again | next (it runs: kept as its next run) | missing (no such predecessor) ]]
local id, op, by, reason, start, after = unpack(ARGV, 1, 6)
local job, at = load(id), clock()
if seen(job, op) then return {"again", job.state, job.run} end
if after ~= "" and redis.call("EXISTS", key("job", after)) == 0 then return {"missing", after, 0} end

local fields = {unpack(ARGV, 14)}
local replaced = job.state and walk(job.state, ARGV[11])
if job.state and not replaced and not has(ARGV[12], job.state) then
  redis.call("HSET", job.key, "next", cjson.encode({start = start, fields = fields}))
  return {"next", job.state, job.run}
end
if replaced then record(job, replaced, at, op .. "r", by, reason) end

job.run, job.after = job.run + 1, after
local birth = ARGV[7]
if held_by(job, ARGV[12]) then
  birth = ARGV[9]
  redis.call("SADD", key("after", after), id)
elseif start ~= "" and tonumber(start) > at then
  birth = ARGV[8]
  redis.call("ZADD", key("due"), start, id)
elseif ARGV[10] ~= "" then
  birth = ARGV[10]
end
if birth ~= ARGV[8] then redis.call("ZREM", key("due"), id) end
record(job, walk("", birth), at, op, by, reason, true)
if not job.submitted then
  for _, value in ipairs({"submitted", at}) do fields[#fields + 1] = value end
else
  redis.call("PERSIST", job.key)
  redis.call("ZREM", key("ended"), id)
  redis.call("HDEL", job.key, "token", "worker", "pid", "started", "ended", "expires", "outcome", "note", "meta",
             "failure", "progress", "start", "after")
end
if start ~= "" then for _, value in ipairs({"start", start}) do fields[#fields + 1] = value end end
if after ~= "" then for _, value in ipairs({"after", after}) do fields[#fields + 1] = value end end
save(job, at, fields)
for i = 14, #ARGV, 2 do
  if ARGV[i] == "owner" then redis.call("ZADD", key("owner", ARGV[i + 1]), at, id) end
end
for tag in ARGV[13]:gmatch("[^\n]+") do redis.call("ZADD", key("tag", tag), at, id) end
return {"ok", job.state, job.run}
