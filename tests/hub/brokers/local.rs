//! A broker whose processes read the log itself, and which can be wrong in one way.

use super::log::{NAME, RETRY, TOPIC};
use super::*;

/// What is wrong with a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    DropsNames,
    /// Each second process has an order of its own.
    OwnOrder,
    NoHistory,
    SilentLoss,
    OtherNumbers,
    ForgottenEnds,
    /// After a break, the process reads 100 entries and continues at the newest one.
    ResumeReadsOnePage,
    /// The newest 1,000 entries of the history are loaded, and no loss is reported.
    HistoryOf1000,
    /// A reader that is 4,096 entries behind goes on with the newest 4,096.
    LaggedIsIgnored,
    TrimLossOneTooLow,
    TopicCutAt63,
    NameCutAt255,
    /// An `e` with an accent is the same as an `e` and an accent.
    TopicNormalized,
    RetryIn32Bits,
    /// The history is loaded up to the right age, and is then as old as the connection.
    AgeIsZero,
    MaxAgeOverflows,
    /// Nothing looks for losses but the publisher, which marks one before its next event.
    OnlyPublishersLook,
    /// A process whose hub is gone ends the reading of all processes.
    OneClosedEndsAll,
}

/// For how long a process is away when its connection breaks.
const BREAK: Duration = Duration::from_millis(5);

struct Local {
    log: Log,
    flaw: Option<Flaw>,
    processes: AtomicUsize,
    cut: watch::Sender<()>,
    /// Whether all reading has ended.
    ended: watch::Sender<bool>,
}

pub(super) struct LocalWorld(Arc<Local>);

impl LocalWorld {
    pub(super) fn new(flaw: Option<Flaw>) -> Self {
        Self(Arc::new(Local {
            log: Log::new(),
            flaw,
            processes: AtomicUsize::new(0),
            cut: watch::Sender::new(()),
            ended: watch::Sender::new(false),
        }))
    }
}

impl World for LocalWorld {
    type Broker = Process;

    fn broker(&self) -> Process {
        Process {
            local: Arc::clone(&self.0),
            index: self.0.processes.fetch_add(1, Relaxed),
            read: 0,
        }
    }

    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        Some(Box::pin(async move { self.0.log.trim(keep) }))
    }

    fn lose(&self) -> Option<Fault<'_>> {
        Some(Box::pin(async {
            match self.0.flaw {
                Some(Flaw::OnlyPublishersLook) => self.0.log.lose_unmarked(),
                _ => self.0.log.lose(),
            }
        }))
    }

    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let log = &self.0.log;
        Some((Box::pin(async { log.copy() }), Box::pin(async { log.put_back() })))
    }

    fn cut(&self) -> Option<Fault<'_>> {
        Some(Box::pin(async { self.0.cut.send_replace(()) }))
    }
}

/// The broker of one process.
pub(super) struct Process {
    local: Arc<Local>,
    index: usize,
    /// The number up to which the process has read.
    read: u64,
}

impl Process {
    fn has(&self, flaw: Flaw) -> bool {
        self.local.flaw == Some(flaw)
    }

    fn load(&mut self, feed: &mut Feed) {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        if self.has(Flaw::MaxAgeOverflows) {
            assert!(now - feed.max_age() < now);
        }
        if self.has(Flaw::NoHistory) {
            self.read = self.local.log.newest();
        }
        let mut entries = self.local.log.read(self.read);
        if self.has(Flaw::HistoryOf1000) {
            keep_newest(&mut entries, 1000);
        }
        if self.has(Flaw::AgeIsZero) {
            for (_, _, age, text) in &mut entries {
                // What is too old is reported as a loss.
                text.take_if(|_| *age > feed.max_age());
                *age = Duration::ZERO;
            }
        }
        if self.has(Flaw::TrimLossOneTooLow)
            && let Some(first) = entries.first_mut()
            && first.3.is_none()
        {
            first.0 -= 1;
        }
        _ = self.feed(feed, entries);
    }

    /// Feeds what is new, after a break or while the process is connected.
    fn feed_new(&mut self, feed: &mut Feed, was_away: bool) -> Result<(), Closed> {
        let mut entries = self.local.log.read(self.read);
        if self.has(Flaw::LaggedIsIgnored) {
            keep_newest(&mut entries, 4096);
        }
        if self.has(Flaw::ResumeReadsOnePage) && was_away {
            let newest = entries.last().map(|(number, ..)| *number);
            entries.truncate(100);
            self.feed(feed, entries)?;
            self.read = newest.unwrap_or(self.read);
            return Ok(());
        }
        self.feed(feed, entries)
    }

    fn feed(&mut self, feed: &mut Feed, mut entries: Vec<Entry>) -> Result<(), Closed> {
        self.read = entries.last().map_or(self.read, |(number, ..)| *number);
        if self.has(Flaw::OwnOrder) && self.index % 2 == 1 {
            let numbers: Vec<_> = entries.iter().map(|(number, ..)| *number).collect();
            entries.reverse();
            entries.iter_mut().zip(numbers).for_each(|(entry, number)| entry.0 = number);
        }
        if self.has(Flaw::SilentLoss) {
            entries.retain(|(.., text)| text.is_some());
        }
        entries.into_iter().try_for_each(|entry| feed_entry(feed, entry).map(drop))
    }

    async fn follow(mut self, mut feed: Feed) {
        let _ends_all = self.has(Flaw::OneClosedEndsAll).then(|| EndsAll(Arc::clone(&self.local)));
        let mut ended = self.local.ended.subscribe();
        let (mut changes, mut cut) = (self.local.log.changes(), self.local.cut.subscribe());
        let mut was_away = false;
        while !*ended.borrow_and_update() && self.feed_new(&mut feed, was_away).is_ok() {
            was_away = tokio::select! {
                biased;
                _ = cut.changed() => true,
                _ = changes.changed() => false,
                _ = ended.changed() => false,
            };
            if was_away {
                sleep(BREAK).await;
            }
        }
    }
}

/// Ends all reading when it is dropped.
struct EndsAll(Arc<Local>);

impl Drop for EndsAll {
    fn drop(&mut self) {
        self.0.ended.send_replace(true);
    }
}

/// Drops the oldest entries in silence.
fn keep_newest(entries: &mut Vec<Entry>, count: usize) {
    entries.drain(..entries.len().saturating_sub(count));
}

impl Broker for Process {
    type Publisher = LocalPublisher;
    type Error = Infallible;

    fn name(&self) -> String {
        self.local.log.name.clone()
    }

    async fn start(mut self, mut feed: Feed) -> Result<LocalPublisher, Infallible> {
        let publisher = LocalPublisher(Arc::clone(&self.local));
        self.load(&mut feed);
        feed.spawn(|feed| self.follow(feed));
        Ok(publisher)
    }
}

pub(super) struct LocalPublisher(Arc<Local>);

impl Publisher for LocalPublisher {
    async fn publish(&self, mut publication: Publication) -> Result<Acknowledged, PublishError> {
        publication.ends_topic &= self.0.flaw != Some(Flaw::ForgottenEnds);
        let mut fields = encode(&publication);
        spoil(&mut fields, self.0.flaw);
        let (number, at) = self.0.log.append(Some(fields.to_string()));
        let is_other = self.0.flaw == Some(Flaw::OtherNumbers);
        Ok(Acknowledged::new(number + u64::from(is_other), at))
    }
}

/// Changes the fields of an event as a broker with this flaw does.
fn spoil(fields: &mut Value, flaw: Option<Flaw>) {
    match flaw {
        Some(Flaw::DropsNames) => fields[NAME] = Value::Null,
        Some(Flaw::TopicCutAt63) => cut_at(&mut fields[TOPIC], 63),
        Some(Flaw::NameCutAt255) => cut_at(&mut fields[NAME], 255),
        Some(Flaw::TopicNormalized) => {
            fields[TOPIC] = json!(fields[TOPIC].as_str().unwrap().replace("e\u{301}", "\u{e9}"));
        }
        Some(Flaw::RetryIn32Bits) => {
            let retry = fields[RETRY].as_u64();
            fields[RETRY] = json!(retry.map(|retry| retry & u64::from(u32::MAX)));
        }
        _ => {}
    }
}

fn cut_at(field: &mut Value, chars: usize) {
    *field = json!(field.as_str().map(|text| text.chars().take(chars).collect::<String>()));
}
