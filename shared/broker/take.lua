-- Takes up to `count` messages off a queue for a worker, after moving to it what was delayed until now.
-- KEYS: namespace. ARGV: worker id, queue, count, 1 if the worker listens for what is pushed to it, else 0.
-- Returns {ms until the next delayed message or -1, how many messages the worker has now as far as Redis knows, data, data, ...}.
-- With fewer than `count` the queue is empty, and a worker that listens is registered as waiting: what comes next is pushed to it
-- (put.lua).
--
-- Time is Redis' own, here and in the other scripts: a worker whose clock is wrong is missed when it dies, and delays nothing.
--
-- Delayed messages wait in Dramatiq's own place (<queue>.DQ and <queue>.DQ.msgs); an index by time beside it,
-- <queue>.DQ.due, is filled here from that list, so that a stock client's delayed messages are found too.
-- The first write is the lpop: a full Redis refuses scripts that begin with one that needs memory, and would stay full.
local namespace, worker, queue = KEYS[1], ARGV[1], ARGV[2]
local count, clock = tonumber(ARGV[3]), redis.call("time")
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local name = namespace .. ":" .. queue
local delayed, due = name .. ".DQ", name .. ".DQ.due"

-- What a message's data says in its options; an empty table where it is no message.
local function options_of(data)
    local known, message = pcall(cjson.decode, data)
    local options = known and type(message) == "table" and message.options
    return type(options) == "table" and options or {}
end

for _ = 1, 1000 do -- a bounded share; the rest follows with the next call
    local id = redis.call("lpop", delayed)
    if not id then break end
    local data = redis.call("hget", delayed .. ".msgs", id)
    if data then
        redis.call("zadd", due, tonumber(options_of(data).eta) or now, id)
    end
end

redis.call("zadd", namespace .. ":__heartbeats__", now, worker)
redis.call("hset", namespace .. ":__taken__", queue, now) -- for /readyz

for _, id in ipairs(redis.call("zrangebyscore", due, "-inf", now, "limit", 0, 1000)) do
    local data = redis.call("hget", delayed .. ".msgs", id)
    -- The same id may still be carried by the delivery that delayed it; then it waits for that one's ack.
    if not data or redis.call("hexists", name .. ".msgs", id) == 0 then
        redis.call("zrem", due, id)
        redis.call("hdel", delayed .. ".msgs", id)
        if data then
            redis.call("hset", name .. ".msgs", id, data)
            line_up(name, id, tostring(options_of(data).customer or ""))
        end
    end
end

local answer = {-1, 0}
local first = redis.call("zrange", due, 0, 0, "withscores")
if first[2] then answer[1] = math.max(math.ceil(tonumber(first[2])) - now, 5) end

local acks, gone = namespace .. ":__acks__." .. worker .. "." .. queue, {}
for _ = 1, count do
    local id = redis.call("lpop", name)
    if not id then break end
    local data = redis.call("hget", name .. ".msgs", id)
    if data then
        redis.call("sadd", acks, id)
        answer[#answer + 1] = data
    end
    gone[#gone + 1] = id
end
if #gone > 0 then redis.call("zrem", name .. ".rounds", unpack(gone)) end

local waiting, room = namespace .. ":__waiting__." .. queue, count - (#answer - 2)
answer[2] = redis.call("scard", acks)
if room > 0 and ARGV[4] == "1" then
    redis.call("hset", waiting, worker, room)
else
    redis.call("hdel", waiting, worker)
end
return answer
