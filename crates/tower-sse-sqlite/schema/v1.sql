create table if not exists "news" ( -- tower-sse-sqlite, version 1
    id integer primary key autoincrement
        constraint "id is from 1 to 2^62" check (id between 1 and 1 << 62),
    nonce integer not null default (random() | 1),
    at integer not null default (cast((julianday('now') - 2440587.5) * 86400000000 as integer)),
    bytes integer not null as (length(cast(topic || data || ifnull(comment, '') as blob))) stored,
    ends integer not null default 0 constraint "ends is 0, 1 or 2" check (ends in (0, 1, 2)),
    retry integer constraint "retry is from 0 to 2^63 - 1" check (retry >= 0),
    event text constraint "event has at most 256 bytes" check (length(cast(event as blob)) <= 256)
        constraint "event has no line break and no U+0000" check (
            instr(event, char(10)) + instr(event, char(13)) + instr(event, char(0)) = 0),
    topic text not null
        constraint "topic has at most 1 KiB" check (length(cast(topic as blob)) <= 1024),
    comment text
        constraint "comment has at most 4 KiB" check (length(cast(comment as blob)) <= 4096),
    data text not null
        constraint "data has at most 1 MiB" check (length(cast(data as blob)) <= 1048576)
) strict;

create trigger if not exists "news_id" after insert on "news"
    when new.id < (select max(id) from "news")
    begin select raise(abort, 'id is below the newest: leave it out'); end;
