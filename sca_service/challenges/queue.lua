-- How a channel of the ladder is begun. Read after state.lua.

local RECORD_MS = 4500 -- by then a decision is on record, even when the process that took it was killed (audit/drain.py)

-- Whether there is a further channel, and the policy goes on to it for this reason.
local function steps_on_for(state, reason)
  if state.step >= #state.ladder then return false end
  return string.find(' ' .. state.step_on .. ' ', ' ' .. reason .. ' ', 1, true) ~= nil
end

-- When the current step ends by time; 0 when nothing follows then.
local function step_ends_at(state)
  return steps_on_for(state, 'timeout') and now + state.ladder[state.step].timeout_ms or 0
end

-- A delivery's id is the challenge's id and its number.
local function queue_delivery(state)
  local step = state.ladder[state.step]
  state.deliveries[#state.deliveries + 1] = {
    id = string.format('dlv_%s%02x', string.sub(state.id, 5), #state.deliveries + 1),
    channel = step.channel, status = 'queued', queued_at = now, sent_at = 0, final_at = 0, tries = 0,
  }
  state.next_at = step_ends_at(state)
  wait_until(state, now + RECORD_MS) -- write the log, then act: release.lua brings it forward once it is on record
end
