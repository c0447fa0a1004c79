-- Issue a challenge: the payer's limit, the lockout, the pending challenges, the first delivery, the timer and the
-- audit event, in one step.
--
-- KEYS  the three of state.lua, then the payer's limits
-- ARGV  1 event id  2 head  3 members of the issued event  4 state without times (MessagePack)  5 lifetime in ms
--       6 most pending  7 most failures  8 most pushes without an approval (0: none is counted)  9 for how many ms
--       10 why nothing may be sent ('' for: it may)  11… ms each and burst of the limits
-- Returns {'issued'|'refused', limits, state, event…}, {'superseding', limits, state, superseded state, event…},
--         {'exists', '', state} when this id was issued before, {'limited'|'unanswered', limits, ms to wait};
--         `limits` is how many ms ahead of the clock each limit is spent, between spaces

local event_id, head, members = ARGV[1], ARGV[2], ARGV[3]
local lifetime_ms, most_pending = tonumber(ARGV[5]), tonumber(ARGV[6])
local most_failures = tonumber(ARGV[7])
local most_pushes, counted_ms = tonumber(ARGV[8]), tonumber(ARGV[9])

local before = redis.call('GET', challenge_key)
if before then return {'exists', '', before} end

local state = cmsgpack.unpack(ARGV[4])

-- Whoever is asked again and again approves at last.
if most_pushes > 0 and tonumber(redis.call('GET', pushes_key(state)) or 0) >= most_pushes then
  return {'unanswered', '', math.max(redis.call('PTTL', pushes_key(state)), 1)}
end

local wait_ms, ahead = spend_limits(4, 11)
if wait_ms > 0 then return {'limited', ahead, wait_ms} end

state.created_at = now
state.epoch = current_epoch()
state.expires_at = now + lifetime_ms

local lockout = redis.call('HMGET', lockout_key(state), 'blocked_until', 'failures', 'pin_failures')
local blocked = tonumber(lockout[1] or 0)
if blocked <= now then blocked = 0 end
if blocked > 0 or ARGV[10] ~= '' then
  state.status, state.settled_at, state.blocked_until = 'refused', now, blocked
  state.why = blocked > 0 and 'payer_blocked' or ARGV[10]
  state.expires_at = now
  state.attempts_left = 0
  local packed = save_state(challenge_key, state)
  emit(event_id, head, 'challenge.refused', state, members .. member('reason', state.why))
  return {'refused', ahead, packed, unpack(events)}
end

if most_pushes > 0 and redis.call('INCR', pushes_key(state)) == 1 then
  redis.call('PEXPIRE', pushes_key(state), counted_ms)
end

-- A policy that has become stricter leaves one attempt to a payer who has failed more often than it allows.
local failures = tonumber(lockout[2] or 0) -- in a row; where the PIN is asked too, wrong ones of it count as well
if asks_pin(state) then failures = math.max(failures, tonumber(lockout[3] or 0)) end
state.attempts_left = math.max(most_failures - failures, 1)
emit(event_id, head, 'challenge.issued', state, members .. member('expires_at_ms', state.expires_at))

local pending = pending_key(state)
local superseded
local held = redis.call('ZCARD', pending)
if held >= most_pending then
  local open = {} -- the oldest first; one whose time is over does not count, though no worker has seen it yet
  for _, id in ipairs(redis.call('ZRANGE', pending, 0, -1)) do
    local old = load_state(partition .. 'challenge:' .. id)
    if old and old.status == 'pending' and now < old.expires_at then
      open[#open + 1] = old
    else
      redis.call('ZREM', pending, id)
    end
  end
  if #open >= most_pending then
    local oldest = open[1]
    settle_challenge(oldest, 'cancelled')
    oldest.why = 'superseded'
    superseded = save_state(partition .. 'challenge:' .. oldest.id, oldest)
    emit(event_id, head, 'challenge.cancelled', oldest, member('reason', 'superseded'))
  end
end
-- in microseconds: the order of those issued within one millisecond counts too
redis.call('ZADD', pending, tonumber(time[1]) * 1000000 + tonumber(time[2]), state.id)
if held == 0 then
  redis.call('PEXPIREAT', pending, state.expires_at)
else -- as long as the one that lives longest; all may have left the set since they were counted
  redis.call('PEXPIREAT', pending, state.expires_at, 'NX')
  redis.call('PEXPIREAT', pending, state.expires_at, 'GT')
end

if #state.ladder > 0 then
  state.step = 1
  queue_delivery(state)
else -- nothing is sent: the payer's own authenticator shows the code
  wait_until(state, state.expires_at)
end
local packed = save_state(challenge_key, state)
if superseded then return {'superseding', ahead, packed, superseded, unpack(events)} end
return {'issued', ahead, packed, unpack(events)}
