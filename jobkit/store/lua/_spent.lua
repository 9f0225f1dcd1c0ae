-- The fields nobody needs of a job that has ended, once it was told so: "spent", or "message" where it ended well.
local function spent(what) return "pid", "policy", "grace", "restarts", what == "message" and "message" or "restarts" end
