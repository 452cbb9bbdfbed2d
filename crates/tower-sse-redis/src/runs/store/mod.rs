//! The store on one Redis server.
//!
//! - [`RedisRuns`] has the options that the program sets.
//! - `commands` names the keys, the channels and the scripts. `lua/` has the scripts.
//! - `beats` decides which processes are dead.
//! - `replies` reads replies, pages and pushes, and classifies errors.
//! - `Session` has two connections to one server: for commands, and for pushes and loads.
//!   `Subscriptions` outlive the sessions.
//! - `RedisStore` has a method for each call of the store. Its `Link` replaces a session that
//!   breaks, and `Batcher` sends the calls of owners in shared pipelines.
//!
//! # Keys
//!
//! `prefix` is the one that the program sets. `tag` is the percent-encoded key of a run.
//!
//! | name | | |
//! |---|---|---|
//! | `prefix:run:{tag}` | hash | the claim: which run has the key, and its owner |
//! | `prefix:run:{tag}:epoch` | stream | the events of one run |
//! | `prefix:run:{tag}:epoch:parts` | stream | the parts of a large event that have arrived. Kept for two leases |
//! | `prefix:run:{tag}:epoch@database` | channel | the pushes of the run |
//! | `prefix:run:ctl@database:process` | channel | hints to one process: the epoch of one of its runs, with `-` before it if the run was replaced, or `+` and the name of the stream if the run is watched |
//! | `prefix:run:ctl@database` | channel | a hint to all processes that the server may have lost data |
//! | `prefix:run:ctl@database:process` | hash | the live runs of one process, and those whose end is not reported yet: the names of their streams. Kept for at least a day |
//! | `prefix:run:processes` | hash | the counter of each process, or the name of its heir if it is dead, and the runs that owners are asked to synchronize. Kept for at least a day |
//! | `prefix:run:data` | hash | if it is missing, the server counts as one that has lost data |
//!
//! The braces are a part of the name. Outside of a cluster, they have no effect. In a cluster,
//! `prefix` has a hash tag of its own: Redis takes the first hash tag in a name, so all keys are in
//! one slot. Channels contain the database's number, because Redis delivers messages across
//! databases.
//!
//! Each session calls `beat` before any other script: a node that no longer has the keys redirects
//! this command, and a replica refuses it. A session ends soon after a node redirects commands.
//!
//! The channels of a cluster are sharded (`SPUBLISH`, `SSUBSCRIBE`), so nodes of other shards do
//! not receive the messages. A node that gives the keys away ends the subscriptions, which ends the
//! session too.
//!
//! # Claims
//!
//! | field | |
//! |---|---|
//! | `v` | the version of the protocol |
//! | `e`, `p` | the run's epoch, and the process that owns it |
//! | `s` | `starting`, `running`, `void`, or an outcome |
//! | `h` | the encoded options of the handler |
//! | `b` | how and by which process the run was ended |
//! | `c` | the lines of the last event (may be empty), if a process has asked the owner to stop the run |
//!
//! # Deaths
//!
//! Each process increments its counter five times in a lease, and reads those of the others. If
//! five reads in a row find a counter unchanged, its process is dead for the reader. The reader
//! becomes the heir of the dead process: it replaces the counter that it saw by its own name, then
//! ends and reports the live runs, and deletes the dead process from the list. An heir that dies is
//! replaced in the same way.
//!
//! A process that returns writes its counter again, and then synchronizes all its runs. If the heir
//! has ended one of them, Redis refuses that run's further events.
//!
//! A server can return to an earlier state, in which a claim names a run that is over. The run's
//! owner learns of such a claim once a client of another process watches the run, and then ends the
//! run in Redis.
//!
//! # Lost data
//!
//! A process begins a time in which owners restore their claims if it finds `data` missing, if it
//! returns to a server that has restarted, or if the server's history isn't the one noted in
//! `data`. Until this time ends, a key without a claim is not treated as free. A process that has
//! known of the time for a lease ends the time. The first process on an empty server begins no such
//! time, unless the server is a replica that took over.
//!
//! A process that follows its keys to another node begins such a time too, even if that node has
//! everything that was acknowledged to the process: a replica that lags can still lack the claim of
//! another process.
//!
//! Each process keeps `data` with its beats. Without a beat, `data` expires after a lease, or after
//! 20 seconds if that is longer. All claims but void ones are kept for longer, so a jump of the
//! server's clock that lets them expire lets `data` expire too. `data` also expires on a server
//! that no process reaches.
//!
//! | field | |
//! |---|---|
//! | `v` | the version of the protocol; a process of another version does not connect |
//! | `u` | a unique token of the time in which owners restore their claims; else missing |
//! | `r` | the id of the server at which a beat last began such a time |
//! | `s` | what `history` in `lua/common.lua` returned when this was written |
//!
//! # Streams
//!
//! | id | fields | |
//! |---|---|---|
//! | `0-1` | `v`, `h` | the call has answered |
//! | `last-0` | `f` first, `d` bytes | the events from `first` to `last`, as on the wire |
//! | `last-1` | one empty | follows a large batch; scripts read it instead of the batch |
//! | `END_ID` | `o` outcome, `m` error, `n` newest, `h` | the end |
//!
//! Redis refuses ids that are not higher than the last one. So it refuses a batch that is sent
//! twice, and everything after the end: an owner that was declared dead cannot add events.

mod batcher;
mod beats;
mod commands;
mod link;
mod redis_runs;
mod redis_store;
mod replies;
mod session;

pub(super) use self::commands::PAGE_BYTES;
pub use self::redis_runs::RedisRuns;
pub(super) use self::redis_store::RedisStore;
#[cfg(not(test))]
pub(super) use self::redis_store::RedisStore as Store;
#[cfg(test)]
pub(super) use super::tests::Store;
