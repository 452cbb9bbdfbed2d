//! You've written a [`Broker`](tower_sse::hub::broker::Broker) and want to know whether it does
//! [what a broker must do](tower_sse::hub::broker::Broker#what-a-broker-must-do). This kit (feature
//! `testing`) tests your broker through hubs and their clients. Its tests are called scenes.
//!
//! Implement [`World`], which gives each scene an empty log, then call [`check`]. Here, the scenes
//! test `MemoryBroker` from
//! [`tower_sse::testing`](https://docs.rs/tower-sse/latest/tower_sse/testing/):
//!
//! ```
//! use tower_sse::testing::MemoryBroker;
//! use tower_sse_broker::testing::{Fault, World, check};
//!
//! struct Memory(MemoryBroker);
//!
//! impl World for Memory {
//!     type Broker = MemoryBroker;
//!
//!     fn broker(&self) -> MemoryBroker {
//!         self.0.clone()
//!     }
//!
//!     fn lose(&self) -> Option<Fault<'_>> {
//!         Some(Box::pin(async { self.0.lose_history() }))
//!     }
//! }
//!
//! # /*
//! #[tokio::test]
//! # */
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn broker_keeps_its_promises() {
//!     check(async || Memory(MemoryBroker::new())).await;
//! }
//! # fn main() {
//! #     broker_keeps_its_promises();
//! # }
//! ```
//!
//! `check` prints a line for each scene that passed or was skipped. If any scene failed, `check`
//! panics at the end and lists the failed scenes. To see the lines when the test passes, run `cargo
//! test -- --nocapture`. [`play`] runs one scene and returns its outcome.
//!
//! # The scenes
//!
//! When a scene fails, this list shows what your broker probably does wrong. The faults that a
//! scene needs are in parentheses. If your world can't cause one of them, the scene is skipped.
//!
//! - `every_field_arrives`: drops a field, or changes line endings, letters or spaces, perhaps only
//!   in the event that ends a topic
//! - `names_and_data_cannot_inject`: interprets topics or data, for example as SQL, or treats two
//!   topics as one
//! - `extremes_are_kept_or_refused`: truncates or alters long topics, names, comments or
//!   reconnection times
//! - `large_events_arrive`: shortens events of up to 1 MiB, splits a character, or forgets that
//!   such an event ends its topic. Refusing events above 64 KiB is allowed.
//! - `events_at_once_stay_apart`: mixes up the fields of events that are published at once, or ends
//!   the wrong topics
//! - `all_processes_see_one_order`: numbers or orders events separately in each process, forgets
//!   topics, or is too slow because it commits each event separately
//! - `receipts_are_ids`: acknowledges an event with another's number
//! - `a_late_process_loads_the_history`: is ready before it has loaded the history, or gives an
//!   event a lower number than an event that was acknowledged earlier
//! - `history_is_as_old_as_asked`: leaves out old events without reporting a loss, treats them as
//!   new, or rounds `Feed::max_age` down
//! - `a_longer_history_follows_a_shorter_one`: loads for all processes what the first one asked for
//! - `history_of_any_age_is_loaded`: overflows if
//!   [`Feed::max_age`](tower_sse::hub::broker::Feed::max_age) is `Duration::MAX`
//! - `trimmed_events_are_told_to_a_new_process` (`trim`): doesn't report removed events
//! - `clients_ahead_wait`: assigns numbers that mean nothing in other processes, or returns too low
//!   a number from `newest_possible`
//! - `forged_ids_are_told`: returns too high a number from `newest_possible`
//! - `worlds_do_not_see_each_other`: mixes up two logs, or gives all logs the same name
//! - `ends_are_the_same_everywhere`: forgets that a topic has ended, for example when it loads the
//!   history
//! - `ended_names_become_free`: gives events wrong times of publication, uses a different clock in
//!   each process, or doesn't store the second end of a name
//! - `an_end_is_read_after_a_break` (`cut`): misses the end of a topic
//! - `a_rolled_back_log_is_told_to_all` (`roll_back`), `an_overtaken_log_is_told_to_all`
//!   (`roll_back`): doesn't report lost events in every process
//! - `a_loss_is_told_although_nobody_publishes` (`lose`): finds a loss only when it publishes
//! - `a_loss_during_a_break_is_told` (`cut`, `lose`): misses a loss while its connections are
//!   broken
//! - `a_loss_while_a_hub_loads_is_told` (`lose`): doesn't look for losses while it loads
//! - `numbers_are_not_used_again_after_a_loss` (`lose`): restarts its numbering
//! - `a_burst_loses_nothing`: skips events when it's behind, stores only some of many large events,
//!   or loads part of a long history without reporting a loss
//! - `a_long_break_loses_nothing` (`cut`): doesn't continue where it stopped
//! - `a_break_while_a_hub_loads_loses_nothing` (`cut`): is ready without the whole history
//! - `a_publish_during_a_break_ends` (`cut`): publishes without a time limit, publishes an event
//!   twice, returns a wrong result, or reports a loss although nothing was lost
//! - `an_outage_ends_each_publish` (`outage`): publishes without a time limit while the server is away
//! - `any_order_of_steps_loses_nothing`: loses events if processes start or stop, clients move, or
//!   connections break in a certain order
//! - `a_hub_is_dropped_while_it_is_fed`, `closing_one_hub_leaves_the_others`,
//!   `a_dropped_connect_leaves_nothing`: leaves tasks running, or stops other hubs too
//! - `a_dropped_publish_leaves_the_others`: when a `publish` future is dropped, affects other calls,
//!   publishes the event twice, or publishes it although the future was never polled
//!
//! An event may take up to 10 seconds to arrive, and a scene up to 60 seconds. If your broker uses
//! only tokio's clock and tasks, without sockets, pause this clock (`start_paused`) to make the
//! test fast.
//!
//! A scene connects up to a few dozen hubs, each of which stands for a process. If worlds share a
//! server, give each log a unique name, for example with a counter and the process id.
//!
//! A minor release may add scenes, so a broker that passed before may fail.
//!
//! # What the scenes cannot find
//!
//! The scenes miss:
//!
//! - A mistake that shows only between separate operating-system processes, such as a `static`
//!   counter for numbers. [Child processes](#a-world-of-child-processes) reveal it.
//! - A mistake that shows only if the clocks of several machines differ.
//! - An event that the server acknowledges but loses before any process has read it.
//! - Some events that the broker publishes although it reports them as refused. [`World::cut`] says
//!   how to find more of them.
//! - A process that stamps live events with the time of reading instead of publication.
//! - A connected process that doesn't report a loss when entries are trimmed before it has read
//!   them.
//! - A thread that keeps running after its hub or the future of `start` was dropped.
//! - A limit that the scenes don't reach. They publish up to 5,000 events at once, load a history
//!   of 5,000 events, and use events of 1 MiB and topics of 4 KiB.
//! - Different topics that a broker treats as one, if no scene uses them.
//! - A blocked thread, which can even hang the test in spite of the time limits.
//! - A delay of less than 10 seconds, if each scene still ends within 60 seconds.
//!
//! # A world of child processes
//!
//! To find mistakes that show only between processes, write a second [`World`] that runs your
//! broker in child processes. In the test, a proxy takes your broker's place:
//!
//! - Its `start` runs the test again in a new process: [`current_exe`](std::env::current_exe) with
//!   the test's name, `--exact` and `--nocapture`. Environment variables tell the new process which
//!   log to open, how far back to load the history
//!   ([`Feed::max_age`](tower_sse::hub::broker::Feed::max_age)), and that it's a child.
//! - The child runs your broker's code. There's no feed in the child, so make your code generic
//!   over a trait of your own, which replaces the feed. The child's implementation of this trait
//!   prints a line for each event and each loss, and one once the history is loaded. The test feeds
//!   its hub from these lines.
//! - The publisher in the test writes each event to the child's standard input and reads the result
//!   from a line that the child prints.
//! - The child first prints a line break, because the test harness can leave its own line
//!   unfinished. The next line is your broker's name. Have `start` return an error if the children
//!   of a world print different names. The hub calls the proxy's `name` before `start`, when
//!   there's no child to ask yet. Have the proxy return a name that the test has chosen for the
//!   world.

// | `world.rs` | what a broker's test implements, and the problems that scenes report |
// | `kit.rs` | playing the scenes, and their outcomes |
// | `scenes/` | the scenes |
// | `hub_process.rs`, `hub_client.rs` | what scenes are made of, and bounded waits |

mod hub_client;
mod hub_process;
mod kit;
mod scenes;
mod world;

pub use self::kit::{check, play};
pub use self::world::{Fault, Problem, World};
