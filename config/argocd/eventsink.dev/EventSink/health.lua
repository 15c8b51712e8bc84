-- Health of an EventSink for Argo CD, in the order of kstatus: deletion, generation, Reconciling, Stalled, Ready.
local function condition(type)
  if obj.status == nil or obj.status.conditions == nil then
    return nil
  end
  for _, found in ipairs(obj.status.conditions) do
    if found.type == type then
      return found
    end
  end
  return nil
end

local function is(found)
  return found ~= nil and found.status == "True"
end

if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "Pending deletion" }
end

local seen = obj.status ~= nil and obj.status.observedGeneration or nil
if seen == nil or (obj.metadata.generation ~= nil and seen ~= obj.metadata.generation) then
  return { status = "Progressing", message = "Waiting for the operator to look at the newest spec" }
end

local reconciling = condition("Reconciling")
if is(reconciling) then
  return { status = "Progressing", message = reconciling.message }
end

local stalled = condition("Stalled")
if is(stalled) then
  return { status = "Degraded", message = stalled.message }
end

local ready = condition("Ready")
if ready == nil or ready.status == "Unknown" then
  return { status = "Progressing", message = "Waiting for the condition Ready" }
end
if not is(ready) then
  -- Nothing is on its way and no spec is wrong: Kafka or the store is away.
  return { status = "Degraded", message = ready.message }
end
if ready.reason == "Suspended" then
  return { status = "Suspended", message = ready.message }
end
return { status = "Healthy", message = ready.message }
