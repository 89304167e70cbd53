-- Writes and tells what the other scripts do, on a key and a channel of its own: whether they could do their work now.
-- KEYS: the key. ARGV: the channel.
-- The first write needs memory, which a full Redis refuses.
local key = KEYS[1]
redis.call("hset", key, "a", 1)
redis.call("hsetnx", key, "b", 1)
redis.call("hincrby", key, "a", 1)
redis.call("hdel", key, "b")
redis.call("del", key)
redis.call("sadd", key, "a", "b")
redis.call("srem", key, "a")
redis.call("del", key)
redis.call("zadd", key, 1, "a", 2, "b")
redis.call("zrem", key, "a")
redis.call("zremrangebyscore", key, 0, 0)
redis.call("del", key)
redis.call("rpush", key, "a", "c")
redis.call("linsert", key, "before", "c", "b")
redis.call("lpush", key, "d")
redis.call("lpop", key)
redis.call("ltrim", key, 0, 0)
redis.call("pexpire", key, 60000)
redis.call("del", key)
redis.call("publish", ARGV[1], "1")
