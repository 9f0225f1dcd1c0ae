-- Is this the message that was kept with the record?  Whoever can write to the broker cannot change what runs.
local function is_genuine(job, digest)
  local kept = digest ~= "" and job.message and job.message:match('^{"digest": ?"(%x+)"')
  return not kept or kept == digest
end
