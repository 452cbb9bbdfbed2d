-- The schema of tower-sse-postgres, version 1, for PostgreSQL 14 or later.
--
-- Apply it once, in a migration or by `Postgres::install`. Hubs check `tower_sse.version()`.
-- Programs insert into `inbox`. Hubs move the committed rows into `log` and number them there. The
-- functions that hubs call use only this schema's functions and built-in ones, even if other roles
-- create some with the same names.

create schema tower_sse;

-- The streams. A program can only publish to a stream that has a row here. A hub adds its own.
create table tower_sse.stream (
    name text primary key,
    -- The server that has numbered the stream's log. This row is locked during numbering.
    cluster text not null default ''
);

-- The events of all streams, in the order that all hubs read.
create table tower_sse.log (
    stream text not null,
    seq bigint not null,
    -- Identifies the row with `seq`: in an older copy of the log, another row can get this number.
    nonce bigint not null default (random() * 9007199254740992)::bigint,
    at timestamptz not null,
    -- 0: an event. 1: the last event of its topic. 2: a loss of earlier rows. 3: a leap in the
    -- numbers, where `data` is the last number before the leap.
    kind smallint not null default 0,
    topic text not null default '',
    data text not null default '',
    event text,
    retry bigint,
    comment text,
    primary key (stream, seq)
);

-- The events that wait for a number. A transaction's rows become visible when it commits. The trigger
-- below checks the rows: the server would parse and plan check constraints for each statement.
create table tower_sse.inbox (
    id bigint generated always as identity,
    stream text not null,
    topic text not null,
    data text not null,
    event text,
    retry bigint,
    comment text,
    ends boolean not null default false,
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp(),
    primary key (stream, xid, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create function tower_sse.version() returns int immutable language sql as 'select 1';

-- Returns a value that changes when a standby is promoted, the server recovers to a point in time, or
-- the data moves to a new cluster. Replace this function if your service forbids the functions in
-- it. In PL/pgSQL, because it parses a function once in a session, unlike SQL, which parses it at
-- each call.
create function tower_sse.cluster() returns text stable language plpgsql set search_path = pg_catalog
as $$ begin
    return (pg_control_system()).system_identifier || '/'
        || left(pg_walfile_name(pg_current_wal_lsn()), 8);
end $$;

create function tower_sse.channel(stream text) returns text immutable language plpgsql
    set search_path = pg_catalog as $$ begin
    return 'tower_sse_' || left(encode(sha256(convert_to(stream, 'UTF8')), 'hex'), 32);
end $$;

-- Checks a statement's rows. A foreign key would lock the stream's row in each transaction that
-- publishes, and each set of transactions that share a lock consumes a multixact.
create function tower_sse.check_rows() returns trigger language plpgsql as $$
declare
    missing text; wrong text;
begin
    if not exists (
        select from added a
        where octet_length(a.topic) > 1024 or octet_length(a.data) > 1048576
            or octet_length(a.event) > 256 or a.event ~ '[\n\r]' or a.retry < 0
            or octet_length(a.comment) > 4096
            or not exists (select from tower_sse.stream s where s.name = a.stream)
    ) then
        return null;
    end if;
    select stream into missing from added a
        where not exists (select from tower_sse.stream s where s.name = a.stream) limit 1;
    if found then
        raise foreign_key_violation using
            message = pg_catalog.format('stream "%s" does not exist', missing),
            hint = 'Add a row to the table "stream", or start a hub of this stream.';
    end if;
    select case
        when octet_length(a.topic) > 1024 then 'topic has more than 1024 bytes'
        when octet_length(a.data) > 1048576 then 'data has more than 1048576 bytes'
        when octet_length(a.event) > 256 then 'event has more than 256 bytes'
        when a.event ~ '[\n\r]' then 'event contains a line break'
        when a.retry < 0 then 'retry is negative'
        when octet_length(a.comment) > 4096 then 'comment has more than 4096 bytes'
    end into wrong from added a order by 1 limit 1;
    raise check_violation using message = wrong;
end $$;

-- For each statement, not each row, because a statement can insert many rows.
create trigger check_rows after insert on tower_sse.inbox
    referencing new table as added
    for each statement execute function tower_sse.check_rows();

-- Publishes an event when the transaction commits. With `wake`, notifies the hubs, which otherwise
-- find the event by polling. Transactions that notify commit one at a time and can't be prepared.
create function tower_sse.publish(
    topic text, data text, stream text, event text default null,
    ends boolean default false, wake boolean default false,
    retry bigint default null, comment text default null
) returns void language plpgsql as $$
begin
    insert into tower_sse.inbox (stream, topic, data, event, ends, retry, comment)
        values (stream, topic, data, event, ends, retry, comment);
    if wake then perform pg_notify(tower_sse.channel(stream), ''); end if;
end $$;

-- Numbers the committed rows of the inbox, then the hub's events in these arrays. `before` is the
-- number before the first of the hub's events.
--
-- `covered`: all rows of transactions before this id are numbered. `known`: the newest number that
-- the hub has read or received. `lost`: the newest number that the hub misses. A row of kind 2 must
-- follow it. `opens`: whether the connection is new.
create function tower_sse.append(
    stream text, inout covered bigint, known bigint, lost bigint, opens boolean,
    topics text[], contents text[], events text[], retries bigint[], comments text[], ends boolean[],
    nonces bigint[], wake boolean, out before bigint, out more boolean, out at timestamptz
) language plpgsql set search_path = pg_catalog
    set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    most constant int := 5000; most_bytes constant int := 16777216;
    has_events constant boolean := cardinality(topics) > 0;
    here text; owner text; newest bigint; clock bigint; horizon bigint;
    waiting int; places tid[]; sizes int[]; bytes bigint; seen int := 0; moved int := 0; loses boolean;
begin
    -- Each statement must see what was committed before the lock was granted.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise invalid_transaction_state using
            message = 'a hub needs the isolation level "read committed"',
            hint = 'Run: alter role ... set default_transaction_isolation = ''read committed''.';
    end if;
    -- What a hub reads must be on disk, even if the role's commits do not wait for the disk.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true);
    end if;
    -- All transactions before this id have ended. Their committed rows are found below.
    horizon := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    covered := case when covered <= horizon then covered else 0 end;
    select count(*) into waiting from (select from tower_sse.inbox i
        where i.stream = append.stream and i.xid >= append.covered::text::xid8 limit 2) i;
    at := clock_timestamp();
    if not (waiting > 0 or has_events or opens or lost is not null) then
        -- Nothing is left to do, usually because another hub was faster. Don't lock or write.
        before := 0; more := false; covered := horizon;
        return;
    end if;
    select cluster into owner from tower_sse.stream where name = append.stream for no key update;
    if not found then
        insert into tower_sse.stream (name) values (append.stream) on conflict do nothing;
        select cluster into owner from tower_sse.stream where name = append.stream for no key update;
    end if;
    select seq into newest from tower_sse.log l where l.stream = append.stream
        order by l.stream desc, l.seq desc limit 1;
    -- An open connection stays at its server, and `cluster` costs as much as a small statement.
    here := case when opens or lost is not null or (newest < known) is not false
        then tower_sse.cluster() else owner end;
    at := clock_timestamp();
    clock := extract(epoch from append.at) * 1000000;
    loses := newest is null or newest < known or owner is distinct from here;
    if lost is not null and not loses then
        loses := not exists (
            select from tower_sse.log l
            where l.stream = append.stream and l.seq > append.lost and l.kind = 2
        );
    end if;
    before := newest;
    if loses then
        update tower_sse.stream set cluster = here where name = append.stream and cluster <> here;
        before := greatest(newest + 1, known + 1, lost + 1, clock);
        insert into tower_sse.log (stream, seq, at, kind) values (append.stream, before, append.at, 2);
    elsif opens and clock > newest + 1 then
        before := clock;
        insert into tower_sse.log (stream, seq, at, kind, data)
            values (append.stream, append.before, append.at, 3, newest::text);
    end if;
    if waiting > 0 then
        select array_agg(i.place), array_agg(i.size), count(*), sum(i.size) into places, sizes, seen, bytes
        from (
            select i.ctid as place, octet_length(i.data) as size from tower_sse.inbox i
            where i.stream = append.stream and i.xid >= append.covered::text::xid8
            order by i.stream, i.xid, i.id limit most
        ) i;
        if bytes > most_bytes then
            places := places[:(select count(*) from (
                select sum(s.size) over (order by s.n) - s.size as before
                from unnest(sizes) with ordinality s (size, n)
            ) s where s.before < most_bytes)];
        end if;
        if seen = most or cardinality(places) < seen then
            -- Later rows may be left. A scan from the first id would pass all rows deleted below.
            select least(horizon, i.xid::text::bigint) into horizon
            from tower_sse.inbox i where i.ctid = places[cardinality(places)];
        end if;
        -- By `ctid`, which needs no index. With old statistics, the server might choose the wrong
        -- index. Until this function returns, no other row gets one of these places.
        with taken as (delete from tower_sse.inbox where ctid = any (places))
        insert into tower_sse.log (stream, seq, at, kind, topic, data, event, retry, comment)
            select append.stream,
                append.before + row_number() over (order by t.id rows unbounded preceding),
                append.at, t.ends::int, t.topic, t.data, t.event, t.retry, t.comment
            from tower_sse.inbox t where t.ctid = any (places);
        get diagnostics moved = row_count;
    end if;
    before := before + moved;
    if has_events then
        insert into tower_sse.log (stream, seq, nonce, at, kind, topic, data, event, retry, comment)
            select append.stream, append.before + e.n, e.nonce, append.at,
                e.ends::int, e.topic, e.data, e.event, e.retry, e.comment
            from unnest(topics, contents, append.events, retries, comments, append.ends, nonces)
                with ordinality e (topic, data, event, retry, comment, ends, nonce, n);
    end if;
    more := seen = most or seen > moved;
    covered := horizon;
    if wake and (before is distinct from newest or has_events) then
        -- A hub that listens holds this lock shared, and reads the log afterwards. If no other hub does,
        -- the lock is granted.
        if not pg_try_advisory_xact_lock(hashtextextended('tower_sse ' || append.stream, 0)) then
            perform pg_notify(tower_sse.channel(append.stream), 'log');
        end if;
    end if;
end $$;

-- Does what `append` does for a hub that has no events, at half the cost if one row is waiting, as
-- is usual. Unless it has to call `append`, it then returns that row, but no `data` above 16 KiB,
-- and the `nonce` of the row before it as `previous`: the hub does not have to read a row with
-- `data`. Each expression of PL/pgSQL costs 2 µs, so there are few.
create function tower_sse.number(
    stream text, since bigint, known bigint, wake boolean,
    out covered bigint, out before bigint, out more boolean, out previous bigint, out seq bigint,
    out nonce bigint, out at timestamptz, out kind smallint, out topic text, out data text,
    out event text, out retry bigint, out comment text
) language plpgsql set search_path = pg_catalog
    set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    places tid[];
begin
    perform from tower_sse.stream
        where name = number.stream and exists (select from tower_sse.inbox i
            where i.stream = number.stream and i.xid >= number.since::text::xid8)
        for no key update;
    if found then
        -- This statement sees what was committed before the lock was granted.
        select pg_snapshot_xmin(pg_current_snapshot())::text::bigint, l.seq, false, l.nonce,
            clock_timestamp(), array(
                select i.ctid from tower_sse.inbox i
                where i.stream = number.stream and i.xid >= number.since::text::xid8
                order by i.stream, i.xid, i.id limit 2
            )
            into covered, before, more, previous, at, places
            from tower_sse.log l where l.stream = number.stream
            order by l.stream desc, l.seq desc limit 1;
        if cardinality(places) = 1 and before >= known
            and current_setting('transaction_isolation') = 'read committed'
            and current_setting('synchronous_commit') <> 'off'
        then
            with taken as (delete from tower_sse.inbox where ctid = places[1])
            insert into tower_sse.log (stream, seq, at, kind, topic, data, event, retry, comment)
                select number.stream, number.before + 1, number.at, t.ends::int, t.topic, t.data,
                    t.event, t.retry, t.comment
                from tower_sse.inbox t where t.ctid = places[1]
                returning seq, nonce, kind, topic,
                    case when octet_length(data) <= 16384 then data end, event, retry, comment
                into seq, nonce, kind, topic, data, event, retry, comment;
            -- As in `append`.
            if wake and not pg_try_advisory_xact_lock(hashtextextended('tower_sse ' || stream, 0)) then
                perform pg_notify(tower_sse.channel(stream), 'log');
            end if;
            return;
        end if;
    end if;
    select a.covered, a.before, a.more, a.at into covered, before, more, at
        from tower_sse.append(stream, since, known, null, false,
            '{}', '{}', '{}', '{}', '{}', '{}', '{}', wake) a;
end $$;

-- Returns the rows of the log whose number is at least `last`, with empty `data` for `last` itself.
-- Returns at most `rows` rows and stops at the row that brings the data to `bytes`.
create function tower_sse.read(stream text, last bigint, rows int, bytes bigint) returns table (
    seq bigint, nonce bigint, at timestamptz, kind smallint, topic text, data text,
    event text, retry bigint, comment text
) stable language plpgsql set search_path = pg_catalog
    set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    sizes int[]; total bigint;
begin
    -- In PL/pgSQL, because it keeps the plans of these statements for the session. Most pages are
    -- small. For these, a running sum would cost as much as the page.
    select array_agg(l.size), sum(l.size) into sizes, total from (
        select case when l.seq > last then octet_length(l.data) else 0 end as size from tower_sse.log l
        where l.stream = read.stream and l.seq >= last order by l.stream, l.seq limit rows
    ) l;
    if total > bytes then
        select count(*) into rows from (
            select sum(s.size) over (order by s.n) - s.size as before
            from unnest(sizes) with ordinality s (size, n)
        ) s where s.before < bytes;
    end if;
    return query select l.seq, l.nonce, l.at, l.kind, l.topic,
        case when l.seq > last then l.data else '' end, l.event, l.retry, l.comment
    from tower_sse.log l
    where l.stream = read.stream and l.seq >= last order by l.stream, l.seq limit rows;
end $$;

-- Returns whether rows are waiting in the inbox, the newest row of the log, and the time.
create function tower_sse.poll(
    stream text, covered bigint,
    out waits boolean, out newest bigint, out nonce bigint, out now timestamptz
) stable language plpgsql set search_path = pg_catalog
    set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
begin
    covered := case when covered <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint
        then covered else 0 end;
    waits := exists (select from tower_sse.inbox i
        where i.stream = poll.stream and i.xid >= poll.covered::text::xid8);
    select l.seq, l.nonce into newest, nonce from tower_sse.log l
        where l.stream = poll.stream order by l.stream desc, l.seq desc limit 1;
    now := clock_timestamp();
end $$;

-- Returns the newest row that is older than `age` in seconds, if any. Ignores rows of kind 3: a
-- client that has the row before such a row has missed nothing.
create function tower_sse.before(stream text, age float8, out seq bigint, out nonce bigint)
stable language sql set search_path = pg_catalog
    set enable_seqscan = off set enable_bitmapscan = off as $$
    select l.seq, l.nonce from tower_sse.log l
    where l.stream = before.stream and l.at < clock_timestamp() - make_interval(secs => age)
        and l.kind <> 3
    order by l.stream desc, l.seq desc limit 1
$$;

-- Removes rows whose number is at least `first` if they are older than `age` in seconds or followed
-- by `rows` newer ones. Removes at most `most` rows or about 64 MiB of data, and never the newest
-- row. Returns the first number that may be left, the time of the oldest row left, and whether there
-- may be more to remove. A row with a time in the future counts as expired if an expired row follows
-- it, with only such rows between them and within the limits of one call. The hub waits for this
-- function, so a lock on one of the rows stops it for half a second at most.
create function tower_sse.trim(
    stream text, inout first bigint, age float8, rows bigint, most int,
    out oldest timestamptz, out more boolean
) language plpgsql set search_path = pg_catalog set lock_timeout = '500ms'
    set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    expired constant timestamptz := coalesce(clock_timestamp() - make_interval(secs => age), '-infinity');
    kept bigint; stop bigint := first; found int := 0; bytes bigint := 0; candidate record;
    is_expired boolean; is_full boolean; is_undecided boolean := false;
begin
    select seq into kept from tower_sse.log l where l.stream = trim.stream and rows is not null
        order by l.stream desc, l.seq desc offset rows - 1 limit 1;
    for candidate in
        select l.seq, l.at, octet_length(l.data) as size from tower_sse.log l
        where l.stream = trim.stream and l.seq >= first order by l.stream, l.seq limit most + 1
    loop
        is_expired := candidate.at < expired or candidate.seq < coalesce(kept, 0);
        -- If a row's time is in the future, the server's clock was ahead. The row is only removed
        -- once a row after it has expired.
        is_undecided := is_undecided and not is_expired;
        if not is_undecided then
            stop := candidate.seq;
            oldest := candidate.at;
        end if;
        -- Another call would begin at the first undecided row and stop here again.
        is_full := found = most or bytes > 67108864;
        more := is_full and not is_undecided;
        exit when is_full or not is_expired and candidate.at <= clock_timestamp();
        is_undecided := not is_expired;
        found := found + 1;
        bytes := bytes + candidate.size;
    end loop;
    -- Keep the row at `stop`, so that the newest row always stays.
    delete from tower_sse.log l where l.stream = trim.stream and l.seq >= trim.first and l.seq < stop;
    first := stop;
end $$;

-- Returns how many rows of all streams are waiting in the inbox (counted up to `most`), when the
-- oldest of these was inserted, and how many bytes the log takes.
create function tower_sse.survey(most int, out waiting bigint, out since timestamptz, out bytes bigint)
stable language sql set search_path = pg_catalog as $$
    select count(*), min(i.at),
        coalesce(pg_total_relation_size((select tableoid from tower_sse.log limit 1)), 0)
    from (select at from tower_sse.inbox limit most) i
$$;

revoke all on all functions in schema tower_sse from public;
