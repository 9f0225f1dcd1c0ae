-- include: _kin
-- rarely: join, load, seen
--[[ submit: record many new jobs that are alike, each with its message: all of them, or none where Redis refuses.
KEYS  1 base of the namespace
ARGV  1 operation  2 by  3 start, ms, "+ms" from now, or ""  4 "1" to wait without a start
      5 the queue the messages of those that are ready are put in, or ""  6 db of the queue, or ""
      7 how many values each has  8 the names of the fields these are kept in, with commas: the first is its message for the queue, and has
      none; or how many texts each has, the first its message for the queue, and then for each the field it is kept in, what it says,
      with "\0" where it has a value, and which values these are (0: the id);
      9.. (behind those texts) how many fields and values all have, these, and for each its id and its values.  An empty text is not kept.
Returns {state, code of each: ok | again | there (only `create` can say what becomes of it)} ]]
local op, by, start, idle, queue, db, values, count = unpack(ARGV, 1, 8)
local at, own, common = clock(), {}, {}
local texts = tonumber(count)
for number = 1, texts or 0 do
  local name, format, order = unpack(ARGV, 6 + 3 * number, 8 + 3 * number)
  own[number] = {name = name, parts = {}, order = {}}
  for part in (format .. "\0"):gmatch("(%Z*)%z") do add(own[number].parts, part, "") end
  for place in order:gmatch("%d+") do add(own[number].order, tonumber(place)) end
end
if not texts then
  for number, name in ipairs(cut(count, ",")) do own[number] = {name = name, whole = number} end
end
local first = 9 + 3 * (texts or 0)
local jobs = first + 1 + ARGV[first]

-- One text of the job whose id is there.
local function text(one, place)
  if one.whole then return ARGV[place + one.whole] end
  for i, value in ipairs(one.order) do one.parts[2 * i] = ARGV[place + value] end
  return table.concat(one.parts)
end

if start:sub(1, 1) == "+" then start = tostring(at + start) end
add(common, "submitted", digits(at))
local ready, later, _, waiting = unpack(cut(BIRTHS, ";"))
local birth, moment = ready, tonumber(start)
if idle == "1" then birth = waiting elseif moment then
  birth = moment > at and later or ready
  add(common, "start", start)
end
add(common, unpack(ARGV, first + 1, jobs - 1))
local all = {}
for i = 1, #common, 2 do all[common[i]] = common[i + 1] end
-- All of them go the same way.
local born = {run = 1, seq = 0, path = "", news = {}}
record(born, walk("", birth), at, op, by, "", true)
add(common, "state", born.state, "run", "1", "seq", digits(born.seq), "path", born.path, "since", born.stamp)

local reply, new, messages, keys, step = {born.state}, {}, {}, {}, 1 + values
for place = jobs, #ARGV, step do keys[#keys + 1] = key("job", ARGV[place]) end
local taken, known = {}, redis.call("EXISTS", unpack(keys)) > 0
for number = 1, #keys do
  local place = jobs + (number - 1) * step
  local id = ARGV[place]
  if taken[id] or known and redis.call("EXISTS", keys[number]) == 1 then
    reply[#reply + 1] = not taken[id] and seen(load(id), op) and "again" or "there"
  else
    local fields = {unpack(common)}
    taken[id] = true
    for i = 2, #own do
      local value = text(own[i], place)
      if value ~= "" then fields[#fields + 1], fields[#fields + 2] = own[i].name, value end
    end
    if all.retain then join({id = id}, fields, OVER) end
    redis.call("HSET", keys[number], unpack(fields))
    for _, news in ipairs(born.news) do redis.call("PUBLISH", key("events", id), news) end
    reply[#reply + 1], new[#new + 1], messages[#messages + 1] = "ok", id, text(own[1], place)
  end
end

-- Into each index all at once.
local function index(name, score)
  local entries = {}
  for _, id in ipairs(new) do entries[#entries + 1], entries[#entries + 2] = score, id end
  redis.call("ZADD", name, unpack(entries))
end
if #new > 0 then
  index(key("state", born.state), born.stamp)
  if birth == later then index(key("due"), start) end
  if all.owner then index(key("owner", all.owner), at) end
  for tag in (all.tags or ""):gmatch("[^\n]+") do index(key("tag", tag), at) end
  if birth == ready and queue ~= "" then
    if db ~= "" then redis.call("SELECT", db) end
    redis.call("LPUSH", queue, unpack(messages))
  end
end
return reply
