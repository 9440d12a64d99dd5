use crate::redis::Script;

/// All that the store does for us in steps of its own.
pub(super) struct Scripts {
    pub(super) beat: Script,
    pub(super) put: Script,
    pub(super) delete: Script,
    pub(super) commit: Script,
    pub(super) find: Script,
    pub(super) sessions: Script,
    pub(super) replace: Script,
    pub(super) reap: Script,
    pub(super) follow: Script,
}

/// KEYS: leases, evictions. ARGV: node, row, epoch, register.
const BEAT: &str = r"
local old = redis.call('HGET', KEYS[1], ARGV[1])
local known = 0
if old then
  local epoch, state = string.match(old .. '|', '^1|(%d+)|%d+|(%a+)|%d+|')
  if epoch == ARGV[3] and (state == 'up' or state == 'drain') then known = 1 end
  if epoch == ARGV[3] and state == 'dead' then known = 2 end
end
if known == 1 or ARGV[4] == '1' then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
local lost = redis.call('LRANGE', KEYS[2], 0, 999)
if #lost > 0 then redis.call('LTRIM', KEYS[2], #lost, -1) end
return {known, redis.call('TIME'), redis.call('HGETALL', KEYS[1]), lost}
";

/// What follows reads an entry and the marker, which it makes if there is none.
const ENTRY: &str = r"
local function entry(text)
  if not text then return nil, nil, nil, 0 end
  local node, epoch, gen, sid = string.match(text, '^1|([^|]+)|(%d+)|(%d+)|([^|]+)$')
  gen = tonumber(gen or '0')
  if not node or gen >= 9007199254740991 then return nil, nil, nil, 0 end
  return node, sid, tonumber(epoch), gen
end
local function marker(key, new)
  local found = redis.call('GET', key)
  if found then return found end
  redis.call('SET', key, new)
  return new
end
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
local function digits(number)
  return string.format('%.0f', number)
end
";

/// A connect that comes late, because a stalled network or store kept it, forces nothing: the
/// generation of a first attempt is when it began, in microseconds. What comes so late that its
/// sender has given it up does nothing: what followed it may be there already.
///
/// KEYS: account, index, marker, follows. ARGV: session, node, epoch, sid, generation, force, new
/// marker, member, when it was sent, after what time it is too late, what members of the follows
/// begin with who follow the session.
const PUT: &str = r"
local now = clock()
if now - ARGV[9] > tonumber(ARGV[10]) then return {digits(now)} end
local m = marker(KEYS[3], ARGV[7])
local old = redis.call('HGET', KEYS[1], ARGV[1])
local node, sid, _, gen = entry(old)
local here = node == ARGV[2]
local mine = here and sid == ARGV[4]
local wanted, lost = tonumber(ARGV[5]), 0
if mine then
  wanted = math.max(wanted, gen)
elseif here or (ARGV[6] == '1' and now - wanted < 1000000) then
  wanted = math.max(wanted, gen + 1, now)
elseif gen >= wanted then
  lost = 1
end
wanted = digits(wanted)
if lost == 0 then
  redis.call('HSET', KEYS[1], ARGV[1], '1|' .. ARGV[2] .. '|' .. ARGV[3] .. '|' .. wanted .. '|' .. ARGV[4])
  redis.call('SADD', KEYS[2], ARGV[8])
end
local followers = {}
local all = redis.call('HLEN', KEYS[4])
if all > 0 and all <= 4096 then
  for _, pair in ipairs(redis.call('HKEYS', KEYS[4])) do
    if #followers < 64 and string.sub(pair, 1, #ARGV[11]) == ARGV[11] then
      table.insert(followers, string.sub(pair, #ARGV[11] + 1))
    end
  end
end
return {m, wanted, lost, (not mine and old) or '', followers}
";

/// What nobody has said for long is not so any more.
///
/// KEYS: follows. ARGV: 1 or 0, seconds, members.
const FOLLOW: &str = r"
local now = tonumber(redis.call('TIME')[1])
for i = 3, #ARGV do
  if ARGV[1] == '1' then
    redis.call('HSET', KEYS[1], ARGV[i], now)
  else
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
if ARGV[1] == '0' then return 0 end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if now - (tonumber(all[i + 1]) or 0) > tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
";

/// KEYS: account, index, marker. ARGV: session, node, sid, member.
const DELETE: &str = r"
local node, sid, _, gen = entry(redis.call('HGET', KEYS[1], ARGV[1]))
local removed = ''
if node == ARGV[2] and sid == ARGV[3] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  removed = digits(gen)
end
if removed ~= '' or node ~= ARGV[2] then redis.call('SREM', KEYS[2], ARGV[4]) end
return {redis.call('GET', KEYS[3]) or '', removed}
";

/// One that comes late says nothing: what it vouches for may have been lost since. One that fails
/// does not take the others along.
///
/// KEYS: written, marker, and so on. ARGV: node, after what time it is too late, then for each pair
/// epoch, expected marker, new marker, when it was sent.
const COMMIT: &str = r"
local now = clock()
local function commit(written, key, epoch, expected, new, sent)
  if now - sent > tonumber(ARGV[2]) then return {digits(now)} end
  local m = marker(key, new)
  if expected ~= '' and expected ~= m then return {m, 0, digits(now)} end
  local under = m .. '|' .. epoch
  if redis.call('HGET', written, ARGV[1]) ~= under then redis.call('HSET', written, ARGV[1], under) end
  return {m, 1, digits(now)}
end
local replies = {}
for i = 1, #KEYS / 2 do
  local a = i * 4 - 1
  local done, reply = pcall(commit, KEYS[i * 2 - 1], KEYS[i * 2], ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3])
  if not done then reply = {'', 0, type(reply) == 'table' and reply.err or tostring(reply)} end
  replies[i] = reply
end
return replies
";

/// KEYS: account, marker, written. ARGV: session, full.
const FIND: &str = r"
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found and ARGV[2] ~= '1' then return {found} end
return {found or '', redis.call('GET', KEYS[2]) or '', redis.call('HGETALL', KEYS[3])}
";

/// KEYS: account, marker, written.
const SESSIONS: &str = r"
return {redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[2]) or '', redis.call('HGETALL', KEYS[3])}
";

/// KEYS: leases. ARGV: node, row as seen, new row or nothing.
const REPLACE: &str = r"
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
";

/// KEYS: index, written, accounts. ARGV: node, epoch, then a session and a member an account.
const REAP: &str = r"
local outlived = tonumber(ARGV[2])
local under = redis.call('HGET', KEYS[2], ARGV[1])
local epoch = under and tonumber(string.match(under, '|(%d+)$') or '')
if under and (not epoch or epoch <= outlived) then redis.call('HDEL', KEYS[2], ARGV[1]) end
local removed = {}
for i = 3, #KEYS do
  local session, member = ARGV[i * 2 - 3], ARGV[i * 2 - 2]
  local node, sid, epoch, gen = entry(redis.call('HGET', KEYS[i], session))
  local ours = node == ARGV[1]
  if ours and epoch <= outlived then
    redis.call('HDEL', KEYS[i], session)
    table.insert(removed, {member, digits(gen), sid})
  end
  if not ours or epoch <= outlived then redis.call('SREM', KEYS[1], member) end
end
return removed
";

impl Scripts {
    pub(super) fn new() -> Self {
        let with_entry = |text: &str| Script::new(&format!("{ENTRY}{text}"));
        Self {
            beat: Script::new(BEAT),
            put: with_entry(PUT),
            delete: with_entry(DELETE),
            commit: with_entry(COMMIT),
            find: Script::new(FIND),
            sessions: Script::new(SESSIONS),
            replace: Script::new(REPLACE),
            reap: with_entry(REAP),
            follow: Script::new(FOLLOW),
        }
    }

    pub(super) fn all(&self) -> Vec<Script> {
        let all = [
            &self.beat,
            &self.put,
            &self.delete,
            &self.commit,
            &self.find,
            &self.sessions,
            &self.replace,
            &self.reap,
            &self.follow,
        ];
        all.into_iter().cloned().collect()
    }
}
