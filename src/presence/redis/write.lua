local call, node, latest, new_marker, millis = redis.call, ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local lists, puts = ARGV[5] == '1', tonumber(ARGV[6])
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp = digits(now)
local followed = puts > 0 and call('EXISTS', unpack(KEYS, 1, puts)) > 0
local marker, written, index, head

-- Which of 1, listed, and 2, expiring, an entry is. One in a key that does not expire is listed.
local function keep(key, first, member)
  if not lists and first and call('HLEN', key) == 1 then
    call('PEXPIRE', key, millis)
    return 2
  end
  local left = call('PTTL', key)
  if left >= 0 and left < tonumber(millis) then call('PEXPIRE', key, millis) end
  if left >= 0 and not lists then return 2 end
  call('SADD', index, member)
  return left >= 0 and 3 or 1
end

local function followers(key, session)
  local found, all = {}, call('HLEN', key)
  if all > 0 and all <= 4096 then
    for _, pair in ipairs(call('HKEYS', key)) do
      if #found < 64 and string.sub(pair, 1, #session) == session then
        table.insert(found, string.sub(pair, #session + 1))
      end
    end
  end
  return found
end

-- What is there already, and the generation that it is to have, or had if it stays.
local function meet(key, session, sid, wanted, force, old)
  local there, with, _, older = entry(old)
  local mine, new, lost = there == node and with == sid, tonumber(wanted), 0
  if mine then
    new = math.max(new, older)
  elseif there == node or force then
    new = math.max(new, older + 1, now)
  elseif older >= new then
    lost = 1
  end
  local gen = digits(new)
  if lost == 0 then call('HSET', key, session, head .. gen .. '|' .. sid) end
  return gen, lost, mine and '' or old
end

local function put(key, follows, force, session, sid, wanted, member)
  force = force and now - wanted < 1000000
  local gen, lost, other = wanted, 0, ''
  if force and now > tonumber(wanted) then gen = stamp end
  local value = head .. gen .. '|' .. sid
  local first = call('HSETNX', key, session, value) == 1
  if not first then
    local old = call('HGET', key, session)
    if old ~= value then gen, lost, other = meet(key, session, sid, wanted, force, old) end
  end
  local kept = lost == 0 and keep(key, first, member) or 0
  if other == '' and lost == 0 and not followed then
    if gen == wanted then return kept end
    if gen == stamp then return kept + 4 end
  end
  return {kept, gen, lost, other, followed and followers(follows, #session .. ':' .. session) or {}}
end

local function delete(key, session, sid, value, member)
  local old, removed = call('HGET', key, session), 0
  if old == value then
    call('HDEL', key, session)
    removed = 1
  else
    local there, with, _, gen = entry(old)
    if there == node and with ~= sid then return 0 end
    if there == node then
      call('HDEL', key, session)
      removed = {digits(gen)}
    end
  end
  if member ~= '' then call('SREM', index, member) end
  return removed
end

local function commit(expected, epoch)
  if expected ~= '' and expected ~= marker then return 0 end
  local under = marker .. '|' .. epoch
  if call('HGET', written, node) ~= under then call('HSET', written, node, under) end
  return 1
end

local function prune(key, session, value)
  if call('PTTL', key) < 0 or call('HGET', key, session) ~= value then return 0 end
  return call('HDEL', key, session)
end

local function find_marker(key, makes)
  local found = call('GET', key)
  if not found and makes then
    call('SET', key, new_marker)
    return new_marker
  end
  return found or ''
end

local function said(reply)
  return type(reply) == 'table' and reply.err or tostring(reply)
end

local known
local function run(reads, late, job, ...)
  if reads and not known then return said(marker) end
  if late then return -1 end
  local done, reply = pcall(job, ...)
  return done and reply or said(reply)
end

local replies, k, a, p = {now}, puts, 6, 0
while a < #ARGV do
  local jobs, makes, epoch, late = tonumber(ARGV[a + 1]), ARGV[a + 2] == '1', ARGV[a + 3], now - ARGV[a + 4] > latest
  known, marker = pcall(find_marker, KEYS[k + 1], makes and not late)
  written, index, head = KEYS[k + 2], KEYS[k + 3], '1|' .. node .. '|' .. epoch .. '|'
  table.insert(replies, known and marker or '')
  k, a = k + 3, a + 4
  for _ = 1, jobs do
    local kind, key, reply = ARGV[a + 1], KEYS[k + 1], nil
    if kind == 'D' then
      reply = run(true, false, delete, key, ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
      k, a = k + 1, a + 5
    elseif kind == 'C' then
      reply = run(true, late, commit, ARGV[a + 2], epoch)
      a = a + 2
    elseif kind == 'U' then
      reply = run(false, false, call, 'HDEL', written, node)
      a = a + 1
    elseif kind == 'X' then
      reply = run(false, false, prune, key, ARGV[a + 2], ARGV[a + 3])
      k, a = k + 1, a + 3
    else
      p = p + 1
      reply = run(true, late, put, key, KEYS[p], kind == 'F', ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
      k, a = k + 1, a + 5
    end
    table.insert(replies, reply)
  end
end
return replies
