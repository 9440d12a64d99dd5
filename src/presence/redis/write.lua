local call, node, new_marker, millis, lists = redis.call, ARGV[1], ARGV[3], ARGV[4], ARGV[5] == '1'
local epoch, args = ARGV[6], ARGV
local head = '1|' .. node .. '|' .. epoch .. '|'
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp, late = time[1] .. string.sub('00000' .. time[2], -6), now - args[7] > tonumber(args[2])

-- Of the bucket at hand: the key of its marker, that, and what kinds of entries it has or had: 1
-- listed ones, 2 expiring ones, 4 sessions that follow others.
local place, marker, kinds

local function key_of(kind)
  return string.sub(place, 1, -2) .. kind
end

local function look(found)
  marker = found or call('GET', place)
  local parted = marker and string.byte(marker, -2) == 126
  kinds = parted and tonumber(string.sub(marker, -1)) or marker and 7 or 0
end

local function note(kind)
  kinds = kinds + kind
  marker = (marker and string.sub(marker, 1, -2) or new_marker .. '~') .. kinds
  call('SET', place, marker)
end

local function list(member)
  call('SADD', key_of('i:') .. node, member)
end

-- Which of 1, listed, and 2, expiring, an entry is. One in a key that does not expire is listed.
local function keep(key, first, session, member)
  local listed, expiring = kinds % 2 == 1, kinds % 4 > 1
  if lists and not expiring then
    list(member)
    return 1
  end
  if not lists and not listed then
    if call('PEXPIRE', key, millis, 'NX') == 0 then call('PEXPIRE', key, millis, 'GT') end
    return 2
  end
  if not lists and first and call('HLEN', key) == 1 then
    call('PEXPIRE', key, millis)
    return 2
  end
  expiring = call('PTTL', key) >= 0
  if expiring then call('PEXPIRE', key, millis, 'GT') end
  if expiring and not lists then return 2 end
  if not lists then
    local account = string.sub(key, #place + 2)
    member = #account .. ':' .. account .. session
  end
  list(member)
  return expiring and 3 or 1
end

local function followers(key, session)
  key = key_of('f:') .. string.sub(key, #place + 2)
  local found, all, start = {}, call('HLEN', key), #session .. ':' .. session
  if all > 0 and all <= 4096 then
    for _, pair in ipairs(call('HKEYS', key)) do
      if #found < 64 and string.sub(pair, 1, #start) == start then
        table.insert(found, string.sub(pair, #start + 1))
      end
    end
  end
  return found
end

-- An entry meets another one: the generation that it is to have, whether it is lost to it, and the
-- other one unless it is of the same connection.
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

local function put(force, key, session, sid, wanted, member)
  local since, gen, lost, other = now - wanted, wanted, 0, ''
  force = force and since < 1000000
  if force and since > 0 then gen = stamp end
  if not marker or kinds % (lists and 2 or 4) < (lists and 1 or 2) then note(lists and 1 or 2) end
  local value = head .. gen .. '|' .. sid
  local first = call('HSETNX', key, session, value) == 1
  if not first then
    local old = call('HGET', key, session)
    if old ~= value then gen, lost, other = meet(key, session, sid, wanted, force, old) end
  end
  local kept = lost == 0 and keep(key, first, session, member) or 0
  if other == '' and lost == 0 and kinds < 4 then
    if gen == wanted then return kept end
    if gen == stamp then return kept + 4 end
  end
  return {kept, gen, lost, other, kinds < 4 and {} or followers(key, session)}
end

local function delete(key, session, value, member)
  local old, removed = call('HGET', key, session), 0
  if old == value then
    call('HDEL', key, session)
    removed = 1
  else
    local _, sid = entry(value)
    local there, with, _, gen = entry(old)
    if there == node and with ~= sid then return 0 end
    if there == node then
      call('HDEL', key, session)
      removed = {digits(gen)}
    end
  end
  if member then call('SREM', key_of('i:') .. node, member) end
  return removed
end

local function commit(expected)
  if not marker then note(0) end
  local known = string.byte(marker, -2) == 126 and string.sub(marker, 1, -3) or marker
  if expected ~= '' and expected ~= known then return 0 end
  local key, under = key_of('w'), known .. '|' .. epoch
  if call('HGET', key, node) ~= under then call('HSET', key, node, under) end
  return 1
end

local function prune(key, session, value)
  if call('PTTL', key) < 0 or call('HGET', key, session) ~= value then return 0 end
  return call('HDEL', key, session)
end

local function said(reply)
  return type(reply) == 'table' and reply.err or tostring(reply)
end

local markers = call('MGET', unpack(KEYS, 1, args[8]))
local replies, n, a = {now}, 1, 9
for i = 1, #markers do
  place = KEYS[i]
  local known, why = pcall(look, markers[i])
  n = n + 1
  local first, jobs = n, args[a]
  for _ = 1, jobs do
    local kind, done, reply = args[a + 1], known, why
    if kind == 'F' or kind == 'P' then
      if known and late then
        reply = -1
      elseif known then
        done, reply = pcall(put, kind == 'F', args[a + 2], args[a + 3], args[a + 4], args[a + 5], args[a + 6])
      end
      a = a + 6
    elseif kind == 'D' then
      if known then done, reply = pcall(delete, args[a + 2], args[a + 3], args[a + 4], args[a + 5]) end
      a = a + 5
    elseif kind == 'd' then
      if known then done, reply = pcall(delete, args[a + 2], args[a + 3], args[a + 4]) end
      a = a + 4
    elseif kind == 'C' then
      if known and late then reply = -1 elseif known then done, reply = pcall(commit, args[a + 2]) end
      a = a + 2
    elseif kind == 'X' then
      done, reply = pcall(prune, args[a + 2], args[a + 3], args[a + 4])
      a = a + 4
    else
      done, reply = pcall(call, 'HDEL', key_of('w'), node)
      a = a + 1
    end
    n = n + 1
    replies[n] = done and reply or said(reply)
  end
  replies[first] = known and marker or ''
  a = a + 1
end
return replies
