-- Forgets messages that a worker has done with. KEYS: namespace. ARGV: worker id, queue, now (ms), then their ids.
local name = KEYS[1] .. ":" .. ARGV[2]
redis.call("zadd", KEYS[1] .. ":__heartbeats__", ARGV[3], ARGV[1])
redis.call("srem", KEYS[1] .. ":__acks__." .. ARGV[1] .. "." .. ARGV[2], unpack(ARGV, 4))
redis.call("hdel", name .. ".msgs", unpack(ARGV, 4))
