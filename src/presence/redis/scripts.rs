use crate::redis::Script;

/// All that the store does for us in steps of its own.
pub(super) struct Scripts {
    pub(super) beat: Script,
    pub(super) write: Script,
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

/// What follows reads an entry.
const ENTRY: &str = r"
local function entry(text)
  if not text then return nil, nil, nil, 0 end
  local node, epoch, gen, sid = string.match(text, '^1|([^|]+)|(%d+)|(%d+)|([^|]+)$')
  gen = tonumber(gen or '0')
  if not node or gen >= 9007199254740991 then return nil, nil, nil, 0 end
  return node, sid, tonumber(epoch), gen
end
local function digits(number)
  return string.format('%.0f', number)
end
";

/// Many jobs in one step, bucket by bucket. One that fails does not take the others along.
///
/// A connect that comes late, because a stalled network or store kept it, forces nothing: the
/// generation of a first attempt is when it began, in microseconds. What comes so late that its
/// sender has given it up does nothing: what followed it may be there already, and what a commit
/// vouches for may have been lost since. A bucket without a marker gets one with the first job that
/// stores something.
///
/// KEYS: the marker of each bucket, of which the names of its other keys are made; on a Cluster these
/// too. ARGV: node, after what time it is too late, new marker, after how many milliseconds entries
/// expire, whether all are listed in the index, epoch, when it was sent, how many buckets; then for
/// each bucket its number of jobs, and these:
///
/// - `F` or `P` (does it force?), account's key, session, sid, generation, member if it is to be listed;
/// - `D` or `d` (is it listed?), account's key, session, entry as it is expected, member for `D`;
/// - `C`, expected marker;
/// - `U`;
/// - `X`, account's key, session, entry as it is expected.
///
/// The answer: the clock, then for each bucket its marker and what became of each job: a text says
/// that it was refused, -1 that it came too late.
const WRITE: &str = include_str!("write.lua");

/// What nobody has said for long is not so any more.
///
/// KEYS: follows, marker. ARGV: 1 or 0, seconds, new marker, members.
const FOLLOW: &str = r"
local marker = redis.call('GET', KEYS[2]) or ARGV[3] .. '~0'
local kinds = string.match(marker, '~([0-3])$')
if ARGV[1] == '1' and kinds then redis.call('SET', KEYS[2], string.sub(marker, 1, -2) .. kinds + 4) end
local now = tonumber(redis.call('TIME')[1])
for i = 4, #ARGV do
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
            write: with_entry(WRITE),
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
            &self.write,
            &self.find,
            &self.sessions,
            &self.replace,
            &self.reap,
            &self.follow,
        ];
        all.into_iter().cloned().collect()
    }
}
