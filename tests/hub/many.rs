//! Subscriptions of very many topics: no poll does all of the work, and nothing is lost in between.

use crate::*;

const TOPICS: usize = 12_500;

fn names() -> Vec<String> {
    (0..TOPICS).map(|n| format!("topic {n}")).collect()
}

/// A client as a task of a runtime, which is polled again only if it was woken.
struct Task {
    client: Client,
    count: Arc<Wakes>,
    waker: Waker,
    /// How often the client was pending although it was already woken.
    yielded: usize,
}

impl Task {
    fn new(client: Client) -> Self {
        let (count, waker) = Wakes::new();
        Self { client, count, waker, yielded: 0 }
    }

    fn is_woken(&self) -> bool {
        self.count.take() > 0
    }

    fn poll(&mut self) -> Poll<Option<Vec<Message>>> {
        self.client.poll_with(&self.waker)
    }

    /// Returns the data and ids of the messages of each item, until the client sleeps or its stream
    /// ends.
    fn read(&mut self) -> Vec<Vec<(String, String)>> {
        let describe = |message: Message| (message.data, message.last_event_id.to_string());
        let mut items = Vec::new();
        loop {
            match self.poll() {
                Poll::Ready(Some(messages)) => {
                    items.push(messages.into_iter().map(describe).collect());
                }
                Poll::Pending if self.is_woken() => self.yielded += 1,
                Poll::Ready(None) | Poll::Pending => return items,
            }
        }
    }
}

#[test]
fn only_the_last_item_of_many_gaps_has_the_final_id() {
    for (last, unknown) in [(foreign(), "1-0"), (last_id("?"), "0-0")] {
        for gap_policy in [GapPolicy::Report, GapPolicy::ReportAndEnd] {
            let hub = Hub::new();
            let names = names();
            let begin = |last| hub.subscribe(&names).gap_policy(gap_policy).resume(last);
            let mut task = Task::new(Client::new(begin(last.clone())));
            let items = task.read();
            assert_eq!(task.client.has_ended, gap_policy == GapPolicy::ReportAndEnd);
            assert!(items.iter().all(|item| item.len() <= 256), "no item has all of them");
            let gaps = items.concat();
            assert!(gaps.iter().map(|(topic, _)| topic).eq(&names), "each once, in order");
            let (again, end) = gaps.split_at(TOPICS - 1);
            assert!(
                again.iter().all(|(_, id)| id == unknown),
                "a client that leaves receives all again"
            );
            assert_eq!(end[0].1, id(&hub, 0).as_str());
            assert!(Task::new(Client::new(begin(last_id(&end[0].1)))).read().is_empty());
        }
    }
}

#[test]
fn backlog_of_many_topics_is_in_order_and_yields_to_other_tasks() {
    let hub = Hub::new();
    let names = names();
    let publish_all =
        || (0..2 * TOPICS).for_each(|n| _ = publish(&hub, &names[n * 7 % TOPICS], "x"));
    let mut task = Task::new(Client::new(hub.subscribe(&names).resume(None)));
    assert!(task.read().is_empty());
    assert!(task.yielded > 4, "{} times while it looked at its topics", task.yielded);
    publish_all();
    assert!(task.is_woken());
    let events = task.read().concat();
    let sequences: Vec<_> = events.iter().map(|(_, id)| sequence(id)).collect();
    assert!(sequences.iter().copied().eq(1..=2 * TOPICS as u64));
    // Now, more events of these topics are published between polls.
    publish_all();
    let mut polled = 0;
    while !task.poll().is_ready() {
        publish(&hub, &names[polled], "meanwhile");
        polled += 1;
    }
    assert!(polled > 2, "{polled} polls");
    let rest = task.read().concat();
    assert_eq!(rest.len() + 1, 2 * TOPICS + polled);
    assert!(
        rest.iter()
            .map(|(_, id)| sequence(id))
            .eq(2 * TOPICS as u64 + 2..=sequence(&rest[rest.len() - 1].1))
    );
}

#[test]
fn event_before_the_close_is_received_although_the_scan_began_earlier() {
    let hub = Hub::new();
    let names = names();
    let mut task = Task::new(Client::new(hub.subscribe(&names).resume(None)));
    assert!(task.poll().is_pending() && task.is_woken());
    let last = publish(&hub, &names[0], "last");
    hub.close();
    assert_eq!(task.read().concat(), [("last".to_owned(), id(&hub, last).to_string())]);
    assert!(task.client.has_ended);
}

#[test]
fn event_before_a_loss_is_received_although_the_scan_began_earlier() {
    let (broker, [hub]) = connected();
    let names = names();
    let mut task = Task::new(Client::new(hub.subscribe(&names).resume(None)));
    assert!(task.poll().is_pending() && task.is_woken());
    publish(&hub, &names[0], "before");
    broker.lose_history();
    let items = task.read().concat();
    assert_eq!(items[0].0, "before");
    assert_eq!(items.len(), 1 + TOPICS, "a gap for each topic");
}

/// An event of another topic is published at each poll.
#[test]
fn subscription_sleeps_although_other_topics_are_busy() {
    let hub = Hub::new();
    let mut task = Task::new(Client::new(hub.subscribe(names()).resume(None)));
    let mut polls = 0;
    while task.poll().is_pending() && task.is_woken() {
        publish(&hub, "other", "x");
        polls += 1;
        assert!(polls < 20, "{polls} polls");
    }
}

/// Some combinators of futures pass a new waker at each poll.
#[test]
fn subscription_with_a_new_waker_at_each_poll_starts_to_wait() {
    let hub = Hub::new();
    let mut client = Client::new(hub.subscribe(names()).resume(None));
    let mut polls = 0;
    let count = loop {
        polls += 1;
        let (count, waker) = Wakes::new();
        assert!(client.poll_with(&waker).is_pending());
        if count.get() == 0 {
            break count;
        }
    };
    assert!(polls < 20, "{polls} polls");
    publish(&hub, "topic 7", "x");
    assert_eq!(count.get(), 1);
}

/// With a new waker, the subscription registers at all topics anew. If it yielded in between, a
/// task with a new waker for each poll would never get to the end.
#[test]
fn starting_to_wait_yields_unless_the_waker_is_new() {
    let hub = Hub::new();
    let mut task = Task::new(Client::new(hub.subscribe(names()).resume(None)));
    task.read();
    assert_eq!(task.yielded, 6, "three times each while it looks for events and starts to wait");
    let (count, waker) = Wakes::new();
    assert!(task.client.poll_with(&waker).is_pending());
    assert_eq!(count.get(), 0);
}
