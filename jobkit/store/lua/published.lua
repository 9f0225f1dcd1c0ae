--[[ published: these messages are out; nothing is owed for them any more.
KEYS  1 base of the namespace
ARGV  ids
Returns how many were owed ]]
return redis.call("ZREM", key("outbox"), unpack(ARGV))
