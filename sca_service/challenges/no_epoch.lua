-- Where nothing that was told can be lost, one epoch lasts for ever.
local function current_epoch() return 1 end
