//! An in-memory log that stands in for a server's. Its entries are text.

use crate::*;

/// An event's topic, whether it ends the topic, and the event's data, name, retry and comment.
type Fields = (String, bool, String, Option<String>, Option<u64>, Option<String>);

/// The indexes of the fields in the text, which is a JSON array.
pub(super) const TOPIC: usize = 0;
pub(super) const ENDS: usize = 1;
pub(super) const DATA: usize = 2;
pub(super) const NAME: usize = 3;
pub(super) const RETRY: usize = 4;
pub(super) const COMMENT: usize = 5;

/// An entry's number, time, age by the log's clock, and text. An entry with the text `None` marks
/// the loss of all events up to its number.
pub(super) type Entry = (u64, Duration, Duration, Option<String>);

pub(super) struct Log {
    pub(super) name: String,
    created: Instant,
    state: Mutex<State>,
    copied: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Clone, Default)]
struct State {
    entries: Vec<(u64, Duration, Option<String>)>,
    newest: u64,
    /// The number of the newest entry that was removed without a mark.
    trimmed: u64,
    /// Whether events are lost and the log has no mark for the loss yet.
    is_unmarked: bool,
}

impl Log {
    pub(super) fn new() -> Self {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        Self {
            name: format!("log:{}", CREATED.fetch_add(1, Relaxed)),
            created: Instant::now(),
            state: Mutex::default(),
            copied: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn append(&self, text: Option<String>) -> (u64, Duration) {
        let at = self.created.elapsed();
        let mut state = self.state.lock().unwrap();
        if mem::take(&mut state.is_unmarked) {
            state.newest += 1;
            let mark = (state.newest, at, None);
            state.entries.push(mark);
        }
        state.newest += 1;
        let number = state.newest;
        state.entries.push((number, at, text));
        drop(state);
        self.changed.send_replace(());
        (number, at)
    }

    /// Uses up a number and returns it with its time.
    pub(super) fn skip_number(&self) -> (u64, Duration) {
        let mut state = self.state.lock().unwrap();
        state.newest += 1;
        (state.newest, self.created.elapsed())
    }

    /// Adds an entry whose number was used up before.
    pub(super) fn insert(&self, number: u64, at: Duration, text: String) {
        let mut state = self.state.lock().unwrap();
        let place = state.entries.partition_point(|(other, ..)| *other < number);
        state.entries.insert(place, (number, at, Some(text)));
        drop(state);
        self.changed.send_replace(());
    }

    /// Returns the entries after this number, the first of which marks a loss if some were trimmed.
    pub(super) fn read(&self, after: u64) -> Vec<Entry> {
        let (now, state) = (self.created.elapsed(), self.state.lock().unwrap());
        let trimmed = (state.trimmed > after).then_some((state.trimmed, now, Duration::ZERO, None));
        let first = state.entries.partition_point(|(number, ..)| *number <= after);
        let entries = state.entries[first..].iter().cloned();
        let with_age = entries.map(|(number, at, text)| (number, at, now.saturating_sub(at), text));
        trimmed.into_iter().chain(with_age).collect()
    }

    pub(super) fn newest(&self) -> u64 {
        self.state.lock().unwrap().newest
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn trim(&self, keep: usize) {
        let mut state = self.state.lock().unwrap();
        let removed = state.entries.len().saturating_sub(keep);
        let newest_removed = state.entries.drain(..removed).next_back();
        state.trimmed = newest_removed.map_or(state.trimmed, |(number, ..)| number);
    }

    pub(super) fn copy(&self) {
        let state = self.state.lock().unwrap().clone();
        *self.copied.lock().unwrap() = state;
    }

    /// Replaces the log with the copy and marks the loss of the events that came after the copy.
    pub(super) fn put_back(&self) {
        {
            let copy = self.copied.lock().unwrap().clone();
            let mut state = self.state.lock().unwrap();
            *state = State { newest: state.newest, ..copy };
        }
        self.append(None);
    }

    /// Replaces the log with the copy.
    pub(super) fn put_back_unmarked(&self) {
        let copy = self.copied.lock().unwrap().clone();
        *self.state.lock().unwrap() = copy;
    }

    /// Marks the loss of all events up to this number.
    pub(super) fn mark_after(&self, number: u64) {
        self.state.lock().unwrap().newest = number;
        self.append(None);
    }

    /// Loses all events and numbers.
    pub(super) fn restart(&self) {
        *self.state.lock().unwrap() = State::default();
        self.append(None);
    }

    pub(super) fn lose(&self) {
        self.lose_unmarked();
        self.append(None);
    }

    /// Loses all events. The loss is marked when the next event is published.
    pub(super) fn lose_unmarked(&self) {
        let mut state = self.state.lock().unwrap();
        state.entries.clear();
        state.is_unmarked = true;
    }
}

pub(super) fn encode(Publication { topic, event, ends_topic, .. }: &Publication) -> Value {
    let event = event.fields();
    json!([topic, ends_topic, event.data, event.name, event.retry, event.comment])
}

pub(super) fn feed_entry(feed: &mut Feed, entry: Entry) -> Result<bool, Closed> {
    let (number, at, age, Some(text)) = entry else { return feed.report_loss(entry.0) };
    let (topic, ends, data, name, retry, comment): Fields = serde_json::from_str(&text).unwrap();
    let mut event = Event::new().data(data);
    if let Some(name) = name {
        event = event.try_event(name).unwrap();
    }
    if let Some(retry) = retry {
        event = event.retry(Duration::from_millis(retry));
    }
    if let Some(comment) = comment {
        event = event.comment(comment);
    }
    feed.event(Arrival::new(number, at, age).ends_topic(ends), &topic, &event)
}
