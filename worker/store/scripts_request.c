/*
 * The other transitions of a request that is not answered yet, and reading it. Replies of
 * transitions: 0 done, 1 refused, 2 stopped, 3 no canary, 4 another's.
 */
#include "scripts_private.h"

/* KEYS: canary, nonce. */
const char ew_lua_canary_state[] = "local c, v = canary(KEYS[1])\n"
                                   "return {num(c), v, num(redis.call('EXISTS', KEYS[2]))}\n";

/* KEYS: canary, request, stop. */
const char ew_lua_lookup[] =
    "local c = canary(KEYS[1])\n"
    "return {num(c), unpack(view(read(KEYS[2]), redis.call('GET', KEYS[3]) or ''))}\n";

/* KEYS: canary, request, stop, request of the waiter. ARGV: id of the waiter, id waited for. What
 * an answered or parked one once waited for no longer counts. */
const char ew_lua_await[] =
    "local c = canary(KEYS[1])\n"
    "local id, at, circular = ARGV[1], ARGV[2], 0\n"
    "if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('HSET', KEYS[4], 'aw', at) end\n"
    "for _ = 1, 64 do\n"
    "  local v = redis.call('HMGET', prefix .. 'request:' .. at, 'st', 'aw')\n"
    "  if not v[2] or v[1] == 'done' or v[1] == 'parked' then break end\n"
    "  at = v[2]\n"
    "  if at == id then circular = 1 break end\n"
    "end\n"
    "local v = view(read(KEYS[2]), redis.call('GET', KEYS[3]) or '')\n"
    "return {num(c), num(circular), unpack(v)}\n";

/* KEYS: canary [, order]. ARGV: [issuer, serial]. */
const char ew_lua_find[] = "local c = canary(KEYS[1])\n"
                           "local key = KEYS[2] or serial_key(ARGV[1], ARGV[2])\n"
                           "return {num(c), redis.call('GET', key) or ''}\n";

/* KEYS: canary, request, stop. ARGV: src, epoch, attempt, GlobalSign's date. */
const char ew_lua_calling[] =
    "local c = canary(KEYS[1])\n"
    "if c ~= 0 then return 3 end\n"
    "local r = read(KEYS[2])\n"
    "if not r or r.st ~= 'claimed' or r.src ~= ARGV[1] or r.ep ~= tonumber(ARGV[2])\n"
    "  or r.at ~= tonumber(ARGV[3]) then return 1 end\n"
    "if redis.call('EXISTS', KEYS[3]) == 1 then return 2 end\n"
    "redis.call('HSET', KEYS[2], 'st', 'calling', 'ca', ARGV[3], 'cd', ARGV[4])\n"
    "return 0\n";

/* KEYS: request. ARGV: src, epoch, attempt. */
const char ew_lua_unknown[] =
    "local r = read(KEYS[1])\n"
    "if not r or (r.st ~= 'calling' and r.st ~= 'unknown') or r.src ~= ARGV[1]\n"
    "  or r.ep ~= tonumber(ARGV[2]) or r.at ~= tonumber(ARGV[3]) then return 1 end\n"
    "redis.call('HSET', KEYS[1], 'st', 'unknown')\n"
    "return 0\n";

/* KEYS: request, wrapped. ARGV: src, epoch, attempt, original or '', order id, outcome, wrapped key
 * or '', its key digest. A record that a rebuild restored has epoch 0: its owner is still the one
 * that made the call. A deposed owner leaves what it knows of the last attempt in the mailbox, and
 * with it whose the order is and a key that was wiped meanwhile, and changes nothing else. Of
 * another request's order nothing is kept. */
const char ew_lua_outcome[] =
    "local r = read(KEYS[1])\n"
    "local id = string.sub(KEYS[1], #prefix + #'request:' + 1)\n"
    "local oid = ARGV[5]\n"
    "local holder = oid ~= '' and redis.call('GET', prefix .. 'order:' .. oid)\n"
    "if holder and holder ~= id then return 4 end\n"
    "if not r or r.st == 'done' then return 1 end\n"
    "local src, ep, at, orig = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]\n"
    "local last = is_of(r, src, orig) and r.at == at\n"
    "if last and oid ~= '' and not holder then\n"
    "  redis.call('SET', prefix .. 'order:' .. oid, id)\n"
    "  owns(KEYS[1], oid)\n"
    "end\n"
    "if lost(r, oid) then return 1 end\n"
    "if last and ARGV[7] ~= '' and r.mi == ''\n"
    "  and redis.call('EXISTS', KEYS[2]) == 0 then\n"
    "  redis.call('HSET', KEYS[2], 'w', ARGV[7], 'ks', ARGV[8])\n"
    "end\n"
    "local open = r.st == 'calling' or r.st == 'unknown' or r.st == 'outcome'\n"
    "if open and r.src == src and r.ep <= ep and r.at == at then\n"
    "  r.st, r.ep, r.out = 'outcome', ep, ARGV[6]\n"
    "  if oid ~= '' then r.oid = oid end\n"
    "  write(KEYS[1], r)\n"
    "  return 0\n"
    "end\n"
    "if last then\n"
    "  redis.call('HSET', KEYS[1], 'mb', ARGV[6], 'mo', oid, 'ma', ARGV[3])\n"
    "end\n"
    "return 1\n";

/* KEYS: request, wrapped. ARGV: src, epoch, state, original, has ordered. A key that was never sent
 * is not kept: the resume makes another. What people let go on begins with a clean record. */
const char ew_lua_park[] =
    "local r = read(KEYS[1])\n"
    "local src, ep, orig = ARGV[1], tonumber(ARGV[2]), ARGV[4]\n"
    "if not r or r.st == 'done' then return 1 end\n"
    "if r.src ~= src and r.src ~= orig then\n"
    /* A resume has it, and a later one than whoever leaves so late. All of them are in one
     * partition. */
    "  if r.osrc ~= orig or src == orig then return 1 end\n"
    "  local function at(s) return tonumber(string.match(s, '%d+$')) end\n"
    "  if at(r.src) > at(src) then return 1 end\n"
    "end\n"
    "if r.src == src and r.ep > ep then return 1 end\n"
    "if ARGV[3] == 'waiting' and ARGV[5] == '0' and r.oid == '' then\n"
    "  local key = prefix .. 'key:' .. r.ks\n"
    "  local id = string.sub(KEYS[1], #prefix + #'request:' + 1)\n"
    "  if redis.call('DEL', KEYS[2]) == 1 and redis.call('GET', key) == id then\n"
    "    redis.call('DEL', key)\n"
    "    r.ks = ''\n"
    "  end\n"
    "end\n"
    "if ARGV[3] == 'parked' then r.va = 0 end\n"
    /* Who comes from the room reads the mailbox. */
    "if ARGV[3] == 'waiting' and r.st == 'outcome' and r.out ~= '' and r.mb == '' then\n"
    "  r.mb, r.mo, r.ma = r.out, r.oid, num(r.at)\n"
    "end\n"
    "if ARGV[3] == 'parked' and r.ca < r.at then r.at = r.ca end\n" /* claimed, never called */
    "r.st, r.src, r.osrc, r.ep = ARGV[3], orig, '', 0\n"
    "write(KEYS[1], r)\n"
    "redis.call('HSET', KEYS[1], 'wo', ARGV[5])\n"
    "return 0\n";

/* KEYS: canary, order, request. ARGV: src, epoch, attempt or 0, original or '', id, order id.
 * Replies: 0 another's, 1 the request's, 2 nobody can say: answers are restored last, and this
 * order may be that of one of them. A deposed worker may have found it, and its order be that of an
 * attempt before: the record is told of its holder's alone, and of none that is ended. */
const char ew_lua_take_order[] =
    "local holder = redis.call('GET', KEYS[2])\n"
    "local src, ep, at, orig = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]\n"
    "local id, oid = ARGV[5], ARGV[6]\n"
    "if holder and holder ~= id then return {'0', holder} end\n"
    "if not holder and canary(KEYS[1]) ~= 0 then return {'2', ''} end\n"
    "if not holder then redis.call('SET', KEYS[2], id) end\n"
    "local r = read(KEYS[3])\n"
    "if r and r.st ~= 'done' then\n"
    "  if is_of(r, src, orig) and r.ep <= ep and (at == 0 or r.at == at) and not lost(r, oid) "
    "then\n"
    "    redis.call('HSET', KEYS[3], 'oid', oid)\n"
    "  end\n"
    "  if not holder then owns(KEYS[3], oid) end\n"
    "end\n"
    "return {'1', ''}\n";

/* KEYS: canary, request. ARGV: src, epoch, original or '', which order is ended because it does not
 * fit, and how. Without a canary a rebuild may be sweeping, which has read Kafka already. */
const char ew_lua_misfit[] = "if canary(KEYS[1]) ~= 0 then return 3 end\n"
                             "local r = read(KEYS[2])\n"
                             "local src, orig = ARGV[1], ARGV[3]\n"
                             "if not r or r.st == 'done' or r.src ~= src and (orig == '' or r.src "
                             "~= orig) then return 1 end\n"
                             "if r.src == src and r.ep > tonumber(ARGV[2]) then return 1 end\n"
                             "redis.call('HSET', KEYS[2], 'mi', ARGV[4])\n"
                             "return 0\n";

/* KEYS: canary, request, wrapped. ARGV: src, epoch, attempt, order id, whether a key of
 * GlobalSign's that is there cannot be used, how many orders are listed at most, id. A key that a
 * deposed worker has brought back meanwhile is not lost; nor is one of an attempt before, which was
 * ended. Until another is claimed the order is the request's: searches pass over what is listed. */
const char ew_lua_losing[] =
    "if canary(KEYS[1]) ~= 0 then return 3 end\n"
    "local r, oid = read(KEYS[2]), ARGV[4]\n"
    "if not r or r.st == 'done' or r.src ~= ARGV[1] or r.ep > tonumber(ARGV[2])\n"
    "  or r.at ~= tonumber(ARGV[3]) then return 1 end\n"
    "local theirs = r.mo == oid and keyed(r.mb) or r.oid == oid and keyed(r.out)\n"
    "if redis.call('EXISTS', KEYS[3]) == 1 or theirs and ARGV[5] == '0' then return 1 end\n"
    "if lost(r, oid) then return r.oid == oid and 0 or 1 end\n"
    "local all = r.lo == '' and oid or r.lo .. ' ' .. oid\n"
    "local _, more = string.gsub(all, ' ', '')\n"
    "if more >= tonumber(ARGV[6]) then all = string.match(all, '^%S+ (.*)$') end\n"
    "redis.call('HSET', KEYS[2], 'lo', all, 'oid', oid)\n"
    "if redis.call('SET', prefix .. 'order:' .. oid, ARGV[7], 'NX') then owns(KEYS[2], oid) end\n"
    "return 0\n";

/* KEYS: canary, request, stop. ARGV: src of the revocation, absent only, expiry. The first one that
 * stopped a request stays its reason. */
const char ew_lua_stop[] = "local c = canary(KEYS[1])\n"
                           "if c ~= 0 then return 4 end\n"
                           "local st = redis.call('HGET', KEYS[2], 'st')\n"
                           "if st == 'done' or st == 'parked' then return 3 end\n"
                           "local quiet = st == 'claimed' or st == 'waiting'\n"
                           "if st and (not quiet or ARGV[2] == '1') then return 2 end\n"
                           "if not redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3], 'NX') then\n"
                           "  if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[3]) then\n"
                           "    redis.call('PEXPIRE', KEYS[3], ARGV[3])\n"
                           "  end\n"
                           "end\n"
                           "return st and 1 or 0\n";
