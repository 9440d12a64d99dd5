use crate::redis::Script;

/// All that Redis does for inboxes in steps of its own. KEYS: stream, hash.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) keep: Script,
    pub(super) close: Script,
}

/// ARGV: entry. 0: there is no inbox. 1: it is appended. 2: there is no room for it.
///
/// An error says that it was not appended: what may be refused after that comes before it.
const APPEND: &str = r"
local box = redis.call('HMGET', KEYS[2], 'put', 'read', 'entries', 'bytes')
if not box[1] then return 0 end
local size = #ARGV[1]
if box[1] - box[2] + size > tonumber(box[4]) then return 2 end
if redis.call('XLEN', KEYS[1]) >= tonumber(box[3]) then return 2 end
redis.call('HINCRBY', KEYS[2], 'put', size)
local id = redis.pcall('XADD', KEYS[1], 'NOMKSTREAM', '*', 'e', ARGV[1])
if type(id) == 'string' then return 1 end
redis.call('HINCRBY', KEYS[2], 'put', -size)
return id or 0
";

/// Something else in the place of an inbox is none. ARGV: new token, entries, bytes, milliseconds.
const KEEP: &str = r"
local function is(key, kind) return redis.call('TYPE', key).ok == kind end
local whole = is(KEYS[1], 'stream') and is(KEYS[2], 'hash')
local box = whole and redis.call('HMGET', KEYS[2], 'token', 'read') or {}
if not (box[1] and box[2]) then
  box = {ARGV[1], '0'}
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('XADD', KEYS[1], '*', 'h', ARGV[1])
  redis.call('HSET', KEYS[2], 'token', ARGV[1], 'read', 0, 'entries', ARGV[2], 'bytes', ARGV[3], 'put', 0)
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then box[3] = info[i + 1] end
end
return box
";

/// ARGV: the last id that was read.
const CLOSE: &str = r"
local rest = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+')
redis.call('DEL', KEYS[1], KEYS[2])
return rest
";

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: Script::new(APPEND),
            keep: Script::new(KEEP),
            close: Script::new(CLOSE),
        }
    }

    pub(super) fn all(&self) -> Vec<Script> {
        let all = [&self.append, &self.keep, &self.close];
        all.into_iter().cloned().collect()
    }
}
