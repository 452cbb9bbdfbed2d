//! Tests, called scenes, for your own [`Broker`](tower_sse::hub::broker::Broker) (feature
//! `testing`).
//!
//! Implement [`World`] so that it provides an empty log for your broker. Then call [`check`], which
//! runs the scenes. Through hubs and their clients, they test that your broker does [what a broker
//! must do](tower_sse::hub::broker::Broker#what-a-broker-must-do). Here, they test `MemoryBroker`
//! of [`tower_sse::testing`](https://docs.rs/tower-sse/latest/tower_sse/testing/):
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
//! `check` prints a line for each scene. If the scene failed or was skipped, the line gives the
//! reason. If any scene failed, `check` panics after the last one. Run the test with `--nocapture`
//! to see the lines. [`outcomes`] returns the results instead.
//!
//! # The scenes
//!
//! Each line names one or more scenes, and says what your broker does wrong if they fail. The fault
//! that a scene needs is in brackets:
//!
//! - `every_field_arrives`: drops the name, the reconnection time or the comment, changes line
//!   endings, letters or spaces, or treats a topic's last event differently
//! - `names_and_data_cannot_inject`: interprets topics or data as its own syntax, for example as
//!   SQL, or treats two topics as one
//! - `extremes_are_kept_or_refused`: truncates or alters long topics, names, comments or
//!   reconnection times, or treats two long topics as one
//! - `large_events_arrive`: shortens events of up to 1 MiB. Refusing those above 64 KiB is allowed.
//! - `a_thousand_topics_arrive`: forgets topics
//! - `all_processes_see_one_order`: numbers or orders events separately in each process
//! - `a_publisher_keeps_its_order`: gives an event a lower number than an event that was
//!   acknowledged earlier
//! - `many_publish_at_once`, `receipts_are_ids`: acknowledges an event with another event's number,
//!   or is too slow because it commits each event separately
//! - `a_late_process_loads_the_history`: is ready before it has loaded the history
//! - `history_is_as_old_as_asked`: leaves out old events without reporting a loss, treats old
//!   events as new, or rounds the age of the history
//! - `history_of_any_age_is_loaded`: overflows if
//!   [`Feed::max_age`](tower_sse::hub::broker::Feed::max_age) is `Duration::MAX`
//! - `trimmed_events_are_told_to_a_new_process` (`trim`): does not report removed events
//! - `a_client_moves_between_processes`, `clients_ahead_wait`: assigns ids that only one process
//!   knows, or returns too low a number from `newest_possible`
//! - `forged_ids_are_told`: accepts ids with numbers that it cannot have assigned
//! - `worlds_do_not_see_each_other`: mixes two logs, or gives all logs one name
//! - `ends_are_the_same_everywhere`: forgets a topic's end, for example when it loads the history
//! - `ended_names_become_free`: never frees the names of ended topics, or uses a different clock in
//!   each process to decide when to free them
//! - `an_end_is_read_after_a_break` (`cut`): misses the end of a topic
//! - `a_lost_log_is_told_to_all` (`lose`), `a_rolled_back_log_is_told_to_all` (`roll_back`),
//!   `an_overtaken_log_is_told_to_all` (`roll_back`): loses events without reporting a loss
//! - `a_loss_is_told_although_nobody_publishes` (`lose`): finds a loss only when it publishes. If
//!   the world supports `roll_back`, the scene rolls the log back first.
//! - `a_loss_during_a_break_is_told` (`cut`, `lose`): does not notice a loss that happens while its
//!   connections are broken. If the world supports `roll_back`, the scene also rolls the log back.
//! - `a_loss_while_a_hub_loads_is_told` (`lose`): does not look for losses while it loads
//! - `numbers_are_not_used_again_after_a_loss` (`lose`): numbers new events from the start again
//! - `a_burst_loses_nothing`: skips events when it is behind, stores only some of the large events
//!   published at the same time, or loads only part of a long history without reporting a loss
//! - `a_break_loses_nothing` (`cut`), `a_long_break_loses_nothing` (`cut`): does not continue where
//!   it stopped before the break
//! - `a_break_while_a_hub_loads_loses_nothing` (`cut`): becomes ready although a break kept it from
//!   loading the whole history
//! - `a_publish_during_a_break_ends` (`cut`): publishes without a time limit, publishes an event
//!   twice, returns a wrong result, or reports a gap although nothing was lost
//! - `any_order_of_steps_loses_nothing`: loses events if these steps happen in a certain order:
//!   publishing, moving a client, breaking connections, and starting and stopping a process
//! - `a_hub_is_dropped_while_it_is_fed`: stops other hubs, or leaves tasks running, when a hub is
//!   dropped
//! - `closing_one_hub_leaves_the_others`, `dropping_a_hub_ends_its_tasks`,
//!   `a_dropped_connect_leaves_nothing`: leaves tasks running, or closes other hubs too
//! - `dropped_publishes_do_no_harm`: sends an event before the first poll of `publish`, sends it
//!   twice, or disturbs other calls when a future is dropped
//!
//! A scene is skipped if the world cannot cause its fault.
//!
//! - A minor release may add scenes, so a broker that passed before may fail.
//! - An event may take up to 10 seconds to arrive, and a scene up to 60 seconds. Some scenes wait
//!   for up to 3 seconds, because they test the age of events.
//! - Each hub in a scene stands for a process. A scene connects up to a few dozen hubs, and
//!   publishes up to 5,000 events at the same time.
//! - One hub of `a_burst_loses_nothing` has its own thread and tokio runtime, whose clock is never
//!   paused. The thread is blocked while events are published, so the hub's broker falls behind.
//! - Each scene gets its own world, which is dropped afterwards. `worlds_do_not_see_each_other`
//!   gets two at once. Worlds can share a server if their logs have unique names, for example with
//!   a counter and the process id.
//! - If your broker uses only tokio's clock and tasks, and no sockets, pause this clock
//!   (`start_paused`) to make the test fast.
//!
//! # What the scenes cannot find
//!
//! - A mistake that shows only between separate operating-system processes. All hubs of a scene run
//!   in the same program. A broker passes even if it numbers events with a `static` counter,
//!   replaces topics with numbers from a `static` table, or puts the process id in its name. [Child
//!   processes](#a-world-of-child-processes) reveal such mistakes.
//! - An event that the server acknowledges and then loses, before any process has read it.
//! - An event that is published although the broker reported it as refused. The scenes find this
//!   only when they break connections. If your broker doesn't send a refused event again, they find
//!   it only if a connection breaks after the server has stored the event and before it replies.
//! - A mistake that shows only if the clocks of several machines differ.
//! - A process that stamps live events with the time of reading instead of publication. The
//!   difference is too small for the scenes to notice.
//! - A connected process that does not report entries that were trimmed before it read them. The
//!   scenes call `trim` only after connected clients have received all events, and then check the
//!   clients of a new process.
//! - A thread of the broker that keeps running after its hub or the future of `start` was dropped.
//!   The scenes count only tasks. They notice leaked tasks only if at least one is left for each
//!   dropped hub.
//! - A limit above what the scenes use: 5,000 events published at the same time, 1,000 events
//!   published during a break, a history of 5,000 events, 4 KiB for topics, event names and
//!   comments, and 40 events of 60 kB at the same time.
//! - Different topics that a broker treats as one, except those in `names_and_data_cannot_inject`
//!   and `extremes_are_kept_or_refused`.
//! - A blocked thread. It can even block the test, past any time limit.
//! - An odd order of events that were published at the same time, if all processes have the same
//!   order.
//! - A delay of less than 10 seconds, if each scene still ends within 60 seconds.
//!
//! # A world of child processes
//!
//! You can write a second [`World`] that runs your broker in child processes. This world's broker
//! only passes messages on:
//!
//! - Its `start` runs the test program again, with [`current_exe`](std::env::current_exe).
//!   Environment variables tell the program that it's a child, which log to open, and how old the
//!   history may be ([`Feed::max_age`](tower_sse::hub::broker::Feed::max_age)).
//! - The child runs your broker's code. The child has no feed, so make your broker's code generic
//!   over a trait of your own, which takes the feed's place. The child's implementation of this
//!   trait writes a line to standard output for each event, for each loss, and when the history is
//!   loaded. The broker in the test feeds its hub from these lines.
//! - The publisher in the test writes each event to the child's standard input, and reads the
//!   result from a line that the child prints.
//! - After the lines of the test harness, the child's first line is your broker's name. `start`
//!   fails if the children of a world print different names.
//!
//! If your broker uses [`follow`](crate::follow), run `follow` in the test with a
//! [`Log`](crate::Log) that forwards its calls to the child.

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
