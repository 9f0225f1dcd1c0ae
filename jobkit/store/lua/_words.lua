--[[ What every script begins with.  KEYS[1] is the base of the namespace; every other key derives from it and lies in the
same slot. ]]

-- `key("kind", name)` is this with what stands in front of a name of that kind: `scripts.py` puts it in place.
local function named(prefix, name) return KEYS[1] .. prefix .. (name or "") end
local function key_of(kind, name) return named(KINDS[kind], name) end

local function add(list, ...) for i = 1, select("#", ...) do list[#list + 1] = (select(i, ...)) end end

-- Is a word in a list with commas?
local function has(list, word)
  if list == word or word == "" then return list == word end
  local from, to = list:find(word, 1, true)
  while from do
    if (from == 1 or list:byte(from - 1) == 44) and (to == #list or list:byte(to + 1) == 44) then return true end
    from, to = list:find(word, to + 1, true)
  end
  return false
end

-- The parts of a text, each but the last followed by this character.
local function cut(text, separator)
  local parts, from = {}, 1
  repeat
    local stop = text:find(separator, from, true)
    parts[#parts + 1] = text:sub(from, (stop or 0) - 1)
    from = (stop or 0) + 1
  until not stop
  return parts
end

-- A whole number as text: Redis itself takes long to write one.
local function digits(number) return ("%d"):format(number) end
