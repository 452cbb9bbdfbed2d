create table session (id text primary key, user_id text not null);
create table notification (
    id bigint generated always as identity primary key,
    topic text not null, -- `all`, or `user:` and the id of a user
    text text not null
);
create table seen (user_id text, notification_id bigint, primary key (user_id, notification_id));
insert into tower_sse.stream (name) values ('notifications');
