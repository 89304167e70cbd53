-- Takes messages out of a worker's hands and returns them to the front of their queue, in order: they are the oldest.
-- KEYS: namespace. ARGV: wake channel prefix, worker id, queue, ids. Returns how many came back.
local namespace, channel, worker, queue = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local name, acks, back = namespace .. ":" .. queue, namespace .. ":__acks__." .. worker .. "." .. queue, 0
for i = #ARGV, 4, -1 do
    if redis.call("srem", acks, ARGV[i]) == 1 and redis.call("hexists", name .. ".msgs", ARGV[i]) == 1 then
        redis.call("lpush", name, ARGV[i])
        back = back + 1
    end
end
if back > 0 then redis.call("publish", channel .. queue, "1") end
return back
