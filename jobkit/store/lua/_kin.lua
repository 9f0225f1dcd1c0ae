-- include: _drop
-- Families, which are retained as one: a group, a chord, a tree.

-- The family of these: that of the root, which is from now on of one itself; of a group its own id is all there is.
local function family_of(kin, over)
  local root = {id = kin, key = key("job", kin)}
  local state, owner, retain, ended, expires =
    unpack(redis.call("HMGET", root.key, "state", "owner", "retain", "ended", "expires"))
  if not state then return kin end
  local keep, flags, family = wishes(retain)
  if family ~= "" then return family end
  redis.call("HSET", root.key, "retain", (keep or "") .. "|" .. flags .. "|" .. kin)
  if not has(over, state) then
    redis.call("HINCRBY", key("family", kin), "live", 1)
  elseif expires then
    -- The first of a chain has ended when the next one is submitted.
    root.owner = owner or nil
    leave(root)
    redis.call("PERSIST", root.key)
    redis.call("HDEL", root.key, "expires")
    redis.call("HSET", root.key, "keep", expires - ended)
    redis.call("RPUSH", key("kin", kin), kin)
  end
  return kin
end

-- A run begins, or is planned: what it asks for is joined with what its job has; it lives with its family.
local function join(job, fields, over, planned)
  local place
  for i = 1, #fields, 2 do if fields[i] == "retain" then place = i + 1 end end
  if not place and not job.retain then return end
  local keep, flags, kin = wishes(fields[place])
  local kept, flagged, before = wishes(job.retain)
  local lives = job.state and not has(over, job.state)
  if planned then
    -- What is not given anew stays.
    keep, flags, kin = keep or kept, flags ~= "" and flags or flagged, before
  else
    if kin ~= "" then kin = family_of(kin, over) end
    if lives and before ~= "" and before ~= kin then part(before, clock()) end
    if kin ~= "" and not (lives and before == kin) then
      rejoin(kin)
    end
  end
  if not place then
    place = #fields + 2
    fields[place - 1] = "retain"
  end
  fields[place] = (keep or "") .. "|" .. flags .. "|" .. kin
end
