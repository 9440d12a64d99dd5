local call, node, latest, millis, lists = redis.call, ARGV[1], tonumber(ARGV[2]), ARGV[4], ARGV[5] == '1'
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp = digits(now)

-- Of the bucket at hand: what its keys begin with, its marker, what kinds of entries it has or had
-- (1 listed ones, 2 expiring ones, 4 sessions that follow others), and what our entries begin with.
local prefix, marker, kinds, head

local function note(kind)
  kinds = kinds + kind
  call('SET', prefix .. 'm', marker .. '~' .. kinds)
end

local function list(account, session)
  call('SADD', prefix .. 'i:' .. node, #account .. ':' .. account .. session)
end

-- Which of 1, listed, and 2, expiring, an entry is. One in a key that does not expire is listed.
local function keep(key, first, account, session)
  local listed, expiring = kinds % 2 == 1, kinds % 4 > 1
  if lists and not listed then note(1) elseif not lists and not expiring then note(2) end
  if lists and not expiring then
    list(account, session)
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
  list(account, session)
  return expiring and 3 or 1
end

local function followers(account, session)
  local key, found = prefix .. 'f:' .. account, {}
  local all, start = call('HLEN', key), #session .. ':' .. session
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

local function put(force, account, session, sid, wanted)
  force = force and now - wanted < 1000000
  local key, gen, lost, other = prefix .. 'a:' .. account, wanted, 0, ''
  if force and now > tonumber(wanted) then gen = stamp end
  local value = head .. gen .. '|' .. sid
  local first = call('HSETNX', key, session, value) == 1
  if not first then
    local old = call('HGET', key, session)
    if old ~= value then gen, lost, other = meet(key, session, sid, wanted, force, old) end
  end
  local kept = lost == 0 and keep(key, first, account, session) or 0
  if other == '' and lost == 0 and kinds < 4 then
    if gen == wanted then return kept end
    if gen == stamp then return kept + 4 end
  end
  return {kept, gen, lost, other, kinds < 4 and {} or followers(account, session)}
end

local function delete(listed, account, session, sid, gen)
  local key, removed = prefix .. 'a:' .. account, 0
  local old = call('HGET', key, session)
  if old == head .. gen .. '|' .. sid then
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
  if listed then call('SREM', prefix .. 'i:' .. node, #account .. ':' .. account .. session) end
  return removed
end

local function commit(expected, epoch)
  if expected ~= '' and expected ~= marker then return 0 end
  local key, under = prefix .. 'w', marker .. '|' .. epoch
  if call('HGET', key, node) ~= under then call('HSET', key, node, under) end
  return 1
end

local function prune(account, session, value)
  local key = prefix .. 'a:' .. account
  if call('PTTL', key) < 0 or call('HGET', key, session) ~= value then return 0 end
  return call('HDEL', key, session)
end

local function read_marker(key, found, makes)
  marker, kinds = '', 0
  if not found then found = call('GET', key) end
  if not found and makes then
    found = ARGV[3] .. '~0'
    call('SET', key, found)
  end
  if found and string.sub(found, -2, -2) == '~' then
    marker, kinds = string.sub(found, 1, -3), tonumber(string.sub(found, -1)) or 7
  elseif found then
    marker, kinds = found, 7
  end
end

local found = call('MGET', unpack(KEYS))
local replies, n, a = {now}, 1, 5
for i, key in ipairs(KEYS) do
  local jobs, makes, epoch, late = ARGV[a + 1], ARGV[a + 2] == '1', ARGV[a + 3], now - ARGV[a + 4] > latest
  local known, why = pcall(read_marker, key, found[i], makes and not late)
  prefix, head = string.sub(key, 1, -2), '1|' .. node .. '|' .. epoch .. '|'
  n = n + 1
  replies[n] = marker
  a = a + 4
  for _ = 1, jobs do
    local kind, args, done, reply = ARGV[a + 1], 5, true, -1
    if kind == 'U' then
      done, reply = pcall(call, 'HDEL', prefix .. 'w', node)
      args = 1
    elseif kind == 'X' then
      done, reply = pcall(prune, ARGV[a + 2], ARGV[a + 3], ARGV[a + 4])
      args = 4
    elseif not known then
      done, reply = false, why
      if kind == 'C' then args = 2 end
    elseif kind == 'C' then
      if not late then done, reply = pcall(commit, ARGV[a + 2], epoch) end
      args = 2
    elseif kind == 'D' or kind == 'd' then
      done, reply = pcall(delete, kind == 'D', ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
    elseif not late then
      done, reply = pcall(put, kind == 'F', ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
    end
    if not done then reply = type(reply) == 'table' and reply.err or tostring(reply) end
    n = n + 1
    replies[n] = reply
    a = a + args
  end
end
return replies
