-- May a running job have this child?  Needs _family.

local CHILDREN, DEPTH = 10000, 100

local function spawn_rules(B, G)
  -- The locks a job's parents declared, nearest first; children wait for none of them, and take theirs in one order.
  local function names_above(up)
    local found, depth = {}, 0
    while up and depth <= DEPTH do
      local above = B.know(load(up))
      for _, want in ipairs(declared(above)) do add(found, want.name) end
      up, depth = above.up, depth + 1
    end
    return found, depth
  end

  -- Nil if it may, and then `fields` say whose it is; else the answer: fenced, told (to end), adopted (it has it already),
  -- full, deep, or order (of locks).
  function B.refuses(job, now, fields)
    local up = load(now.up)
    for i = 1, #fields, 2 do
      if fields[i] == "fence" then
        table.remove(fields, i)
        table.remove(fields, i)
        break
      end
    end
    if up.run .. " " .. (up.token or "") ~= now.fence then return {"fenced", up.state or "", up.run} end
    if not has(G.spawns, up.state) then return {"told", up.state, up.run} end
    B.know(job)
    local there = job.state and job.up == up.id
    if there and (not has(G.over, job.state) or job.state == G.well) then return {"adopted", job.state, job.run} end
    if redis.call("ZCARD", key("children", up.id)) >= CHILDREN then return {"full", tostring(CHILDREN), 0} end
    local names, depth = names_above(up.id)
    if depth >= DEPTH then return {"deep", tostring(DEPTH), 0} end
    now.id = job.id
    for _, want in ipairs(declared(now)) do
      for _, name in ipairs(names) do
        if want.name <= name then return {"order", name, 0} end
      end
    end
    if #names > 0 then
      now.bonds = now.bonds .. "I"
      add(fields, "bonds", now.bonds)
    end
  end
end
