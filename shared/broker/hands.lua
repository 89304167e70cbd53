-- What workers have in hand, as far as Redis knows.
-- KEYS: namespace. ARGV: the queues. Returns {{worker, queue, id}, …}.
local namespace, hands = KEYS[1], {}
for _, worker in ipairs(redis.call("zrange", namespace .. ":__heartbeats__", 0, -1)) do
    for _, queue in ipairs(ARGV) do
        for _, id in ipairs(redis.call("smembers", namespace .. ":__acks__." .. worker .. "." .. queue)) do
            hands[#hands + 1] = {worker, queue, id}
        end
    end
end
return hands
