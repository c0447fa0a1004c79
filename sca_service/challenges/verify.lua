-- Answer a challenge: lockout, state, transaction, attempt, acceptance and audit event, in one step. Whatever arrives
-- in parallel, one answer is approved and five are counted (RTS Art. 4(1), 4(3)(b)).
--
-- KEYS  the three of state.lua
-- ARGV  1 event id  2 head  3 client  4 '1' when the code matches  5 digest of the transaction presented ('' for none)
--       6 answer key: names this answer among its repetitions ('' for none)  7 most failures  8 window in ms
--       9 block lengths in ms, growing, separated by spaces  10 the device that answers ('' for a client that does)
--       11 what was signed, sealed ('' for nothing), kept if it approves  12 the event's members that commit to it
-- Returns {outcome, state, event…}, {'not_found'}, or {'withdrawn'} for a device that was revoked or suspended just now

local event_id, head, client = ARGV[1], ARGV[2], ARGV[3]
local code_matches, digest, answer_key = ARGV[4] == '1', ARGV[5], ARGV[6]
local most_failures, window_ms = tonumber(ARGV[7]), tonumber(ARGV[8])

local OUTCOME_OF_FINAL = {
  approved = 'already_used', declined = 'declined', rejected = 'transaction_mismatch', blocked = 'blocked',
  expired = 'expired', cancelled = 'cancelled', undeliverable = 'undeliverable', refused = 'refused',
}

local state = load_state(challenge_key)
if not state or state.client ~= client then return {'not_found'} end
if ARGV[10] ~= '' and redis.call('EXISTS', partition .. 'withdrawn:' .. ARGV[10]) == 1 then return {'withdrawn'} end

local outcome
local changed = false
local function conclude(status, word)
  outcome, changed = word, true
  settle_challenge(state, status)
end

-- Failures of answers with a PIN are counted by themselves too: an approval that asked for no PIN says nothing of who
-- guessed at it, and does not set them back.
local function count_one_more()
  local failures = redis.call('HINCRBY', lockout_key(state), 'failures', 1)
  if not asks_pin(state) then return failures end
  return math.max(failures, redis.call('HINCRBY', lockout_key(state), 'pin_failures', 1))
end

-- The failure that uses up the payer's attempts blocks the payer, for longer each time (RTS Art. 4(4)).
local function count_failure()
  local failures = count_one_more()
  redis.call('PEXPIRE', lockout_key(state), window_ms)
  state.attempts_left = math.max(math.min(state.attempts_left - 1, most_failures - failures), 0)
  if failures >= most_failures then
    local lengths = {}
    for length in string.gmatch(ARGV[9], '%d+') do lengths[#lengths + 1] = tonumber(length) end
    local blocks = redis.call('HINCRBY', lockout_key(state), 'blocks', 1)
    state.blocked_until = now + lengths[math.min(blocks, #lengths)]
    redis.call('HSET', lockout_key(state), 'failures', 0, 'blocked_until', string.format('%d', state.blocked_until))
    redis.call('HDEL', lockout_key(state), 'pin_failures')
    redis.call('PEXPIRE', lockout_key(state), window_ms + state.blocked_until - now)
  end
  if state.attempts_left == 0 then settle_challenge(state, 'blocked') end
end

local function forget_failures()
  redis.call('DEL', pushes_key(state))
  if asks_pin(state) or redis.call('HEXISTS', lockout_key(state), 'pin_failures') == 0 then
    redis.call('DEL', lockout_key(state))
  else
    redis.call('HSET', lockout_key(state), 'failures', 0)
  end
end

if state.status == 'approved' and answer_key ~= '' and answer_key == state.answer_key and code_matches
    and digest == state.digest then
  return {'approved', redis.call('GET', challenge_key)} -- the same answer, sent again by a client that heard nothing
elseif state.status ~= 'pending' then
  outcome = OUTCOME_OF_FINAL[state.status]
elseif now >= state.expires_at then
  conclude('expired', 'expired')
elseif (state.epoch or 1) ~= current_epoch() then
  state.why = 'failover' -- wrong answers to it may be lost, and so may be that it was answered: it can only be void
  conclude('expired', 'expired')
elseif blocked_until(state) > 0 then
  state.blocked_until = blocked_until(state)
  state.attempts_left = 0
  conclude('blocked', 'blocked')
elseif digest ~= state.digest then
  conclude('rejected', 'transaction_mismatch') -- RTS Art. 5(1)(d): any change invalidates, going back does not help
elseif code_matches then
  conclude('approved', 'approved')
  state.attempts_left = state.attempts_left - 1
  state.answer_key = answer_key
  state.signed = ARGV[11]
  forget_failures()
else
  outcome, changed = 'incorrect', true
  count_failure()
end

local answered = emit(event_id, head, 'challenge.answered', state,
  member('outcome', outcome) .. member('attempts_left', state.attempts_left) ..
  (outcome == 'expired' and state.why == 'failover' and member('reason', state.why) or '') ..
  (outcome == 'approved' and ARGV[12] or ''))
if outcome == 'approved' then state.answer_event = answered end
if outcome == 'incorrect' and state.blocked_until > 0 then
  emit(event_id, head, 'payer.blocked', state, member('until_ms', state.blocked_until))
end
return {outcome, changed and save_state(challenge_key, state) or cmsgpack.pack(state), unpack(events)}
