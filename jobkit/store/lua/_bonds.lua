-- include: _given
-- What only jobs with bonds need: locks, a host, a family.  Nothing of it is made before the first of them is met: the
-- parts stand inside of the function, and cost the others nothing.
local made
local function bonds()
  if made then return made end
  -- inside: _locks
  -- inside: _line
  -- inside: _wake
  -- inside: _blocks
  -- inside: _family
  -- inside: _spawn
  -- inside: _holding
  -- inside: _place
  local G = GRAPH()
  made = {G = G}
  lock_rules(made)
  line_rules(made)
  wake_rules(made, G)
  block_rules(made)
  family_rules(made, G)
  spawn_rules(made, G)
  end_rules(made, G)
  place_rules(made, G)
  return made
end
