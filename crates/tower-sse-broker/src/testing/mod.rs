//! A series of tests, called scenes, for your own [`Broker`](tower_sse::hub::broker::Broker)
//! (feature `testing`).
//!
//! Implement [`World`] to provide an empty log of your broker. [`check`] plays the scenes, which
//! test the rules on the page of [`Broker`](tower_sse::hub::broker::Broker). The scenes use the
//! broker only through hubs and their clients. Here, they test `MemoryBroker` of
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
//! `check` prints a line for each scene, with the reason if the scene has failed or was skipped,
//! and panics after the last scene if any has failed. Run the test with `--nocapture` to see the
//! lines. [`outcomes`] returns the results instead of printing them.
//!
//! # The scenes
//!
//! Each line begins with one or more scenes. If a scene needs a fault, the fault follows in
//! brackets. The text after the colon says what a broker that fails these scenes does wrong:
//!
//! - `every_field_arrives`: drops the name, the reconnection time or the comment, changes line
//!   ends, letters or spaces, or treats a topic's last event differently
//! - `names_and_data_cannot_inject`: treats the program's text as the broker's syntax
//! - `extremes_are_kept_or_refused`: shortens or mixes up long topics, names, comments or
//!   reconnection times
//! - `large_events_arrive`: shortens events of up to 1 MiB. Refusing those above 64 KiB is allowed.
//! - `a_thousand_topics_arrive`: forgets topics
//! - `all_processes_see_one_order`: numbers or orders events separately in each process
//! - `a_publisher_keeps_its_order`: lets a batch of events overtake an earlier batch
//! - `many_publish_at_once`, `receipts_are_ids`: acknowledges an event with the number of another
//!   event, or is too slow because it commits each event alone
//! - `a_late_process_loads_the_history`: is ready before it has loaded the history
//! - `history_is_as_old_as_asked`: leaves out old events without reporting a loss, treats old
//!   events as new, or rounds the age of the history
//! - `history_of_any_age_is_loaded`: overflows if
//!   [`Feed::max_age`](tower_sse::hub::broker::Feed::max_age) is `Duration::MAX`
//! - `trimmed_events_are_told_to_a_new_process` (`trim`): does not report removed events
//! - `a_client_moves_between_processes`, `clients_ahead_wait`: assigns ids that only one process
//!   knows
//! - `forged_ids_are_told`: accepts ids with numbers that it cannot have assigned
//! - `worlds_do_not_see_each_other`: mixes two logs, or gives all logs one name
//! - `ends_are_the_same_everywhere`: forgets the end of a topic, for example when it loads the
//!   history
//! - `ended_names_become_free`: frees the names of ended topics according to each process's own
//!   clock, or never frees them
//! - `an_end_is_read_after_a_break` (`cut`): misses the end of a topic
//! - `a_lost_log_is_told_to_all` (`lose`), `a_rolled_back_log_is_told_to_all` (`roll_back`),
//!   `an_overtaken_log_is_told_to_all` (`roll_back`): loses events without reporting a loss
//! - `a_loss_is_told_although_nobody_publishes` (`lose`): finds a loss only when it publishes. If
//!   the world can also cause `roll_back`, the scene causes it before `lose`.
//! - `a_loss_during_a_break_is_told` (`cut`, `lose`): does not notice a loss that happens while its
//!   connections are broken. If the world can also cause `roll_back`, the scene causes it as well.
//! - `a_loss_while_a_hub_loads_is_told` (`lose`): does not look for losses while it loads
//! - `numbers_are_not_used_again_after_a_loss` (`lose`): numbers new events from the start again
//! - `a_burst_loses_nothing`: skips events when it is behind, stores only a part of large events
//!   that are published at the same time, or loads only a part of a long history without reporting
//!   a loss
//! - `a_break_loses_nothing` (`cut`), `a_long_break_loses_nothing` (`cut`): does not continue where
//!   it stopped before the break
//! - `a_break_while_a_hub_loads_loses_nothing` (`cut`): is ready although a break has ended the
//!   loading of the history
//! - `a_publish_during_a_break_ends` (`cut`): publishes without a time limit, or publishes an event
//!   twice
//! - `any_order_of_steps_loses_nothing`: loses events in some order of these steps: publishing,
//!   moving a client, breaking connections, starting a process, stopping a process
//! - `a_hub_is_dropped_while_it_is_fed`: stops other hubs when a hub is dropped
//! - `closing_one_hub_leaves_the_others`, `dropping_a_hub_ends_its_tasks`,
//!   `a_dropped_connect_leaves_nothing`: leaves tasks running, or closes other hubs too
//! - `dropped_publishes_do_no_harm`: sends an event before the first poll of `publish`, or sends an
//!   event twice
//!
//! A scene with a fault in brackets is skipped if the world cannot cause this fault.
//!
//! - A minor release may add scenes, so a broker that passed before may fail.
//! - An event may take up to 10 seconds to arrive, and a scene up to 60 seconds. Some scenes wait
//!   for about a second, because they test the age of events.
//! - Each hub in a scene stands for a process. A scene connects up to a few dozen hubs, and
//!   publishes up to 5,000 events at the same time.
//! - One hub of `a_burst_loses_nothing` has a thread and a tokio runtime of its own. The thread is
//!   blocked while events are published, so the hub's broker falls behind. The clock of this
//!   runtime is never paused.
//! - Each scene gets a world of its own, which is dropped after the scene. Worlds can share a
//!   server if the names of their logs are unique, for example with a counter and the process id.
//! - If the broker works without sockets, pause tokio's clock (`start_paused`): the test then takes
//!   no time.
//!
//! # What the scenes cannot find
//!
//! - A mistake that shows only in several programs, because all hubs of a scene are in one. A
//!   broker passes if it numbers events with a `static` counter, if it replaces topics with numbers
//!   from a `static` table, or if its name contains the process id. [Child
//!   processes](#a-world-of-child-processes) reveal these mistakes.
//! - An event that the server acknowledges and then loses, before any process has read it.
//! - An event that is published although the broker reported it as refused. The scenes find this
//!   only if a connection breaks after the server has stored the event and before the server
//!   replies.
//! - A mistake that shows only if the clocks of several machines differ.
//! - A process that dates an event by when it read the event, not by when the event was published.
//!   The scenes find this only for events of the history.
//! - A connected process that does not report the loss of entries that were trimmed before the
//!   process read them. The scenes call `trim` only after connected clients have received all
//!   events, and then check the clients of a new process.
//! - A thread of the broker that keeps running after the future of `start` was dropped. The scenes
//!   count only tasks, and find leftover tasks only if their number is at least the number of
//!   dropped hubs or futures.
//! - A limit that no scene reaches. Scenes publish up to 5,000 events at the same time, and up to
//!   1,000 during a break. Their histories have up to 5,000 events. Topics, event names and
//!   comments have up to 4 KiB. Events of 60 kB are published 40 at a time.
//! - Different topics that a broker treats as the same topic, except the examples in
//!   `names_and_data_cannot_inject`.
//! - A blocked thread. It can even block the test, and then no time limit applies.
//! - The order of events that are published at the same time. The scenes accept any order that is
//!   the same in all processes.
//! - A delay of less than 10 seconds.
//!
//! # A world of child processes
//!
//! You can write a second [`World`] that runs your broker in processes of its own. The broker that
//! this world returns only passes messages on:
//!
//! - Its `start` runs the test program again as a child, with
//!   [`current_exe`](std::env::current_exe). Environment variables tell the child that it is one,
//!   which log it opens, and how old the history is
//!   ([`Feed::max_age`](tower_sse::hub::broker::Feed::max_age)).
//! - The child runs your code, which must reach the feed through a trait of your own. In the child,
//!   this trait writes a line to standard output for each event and each loss, and another line
//!   when the history is loaded. The broker in the test feeds its hub from these lines.
//! - The publisher in the test writes each event to the child's standard input, and reads the
//!   result from a line of the child.
//! - The child's first line is the name that your broker returns. `start` fails if the children of
//!   one world have different names.
//!
//! If your broker uses [`follow`](crate::follow), keep it in the test, and let the child answer the
//! calls of your [`Log`](crate::Log).

// | `world.rs` | what a test of a broker brings, and what it is told |
// | `kit.rs` | playing the scenes, and their outcomes |
// | `scenes/` | the scenes |
// | `hub_process.rs`, `hub_client.rs` | what scenes are made of, and bounded waits |

mod hub_client;
mod hub_process;
mod kit;
mod scenes;
mod world;

pub use self::kit::{check, outcomes};
pub use self::world::{Fault, Problem, World};
