-- Where an operation led that was applied before, and of which run: the job may be at the next one by now.
local function came_of(job, op)
  local state, number
  for line in job.path:gmatch("[^\n]+") do
    local of, target, by = line:match("^%d+\t(%d+)\t([^\t]*)\t%d+\t([^\t]*)")
    if by == op and (not number or of == number) then state, number = target, of end
  end
  return state, tonumber(number)
end
