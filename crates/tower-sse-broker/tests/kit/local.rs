//! A broker whose processes read the log directly. It can have one flaw.

use crate::batch::Batch;
use crate::log::{COMMENT, DATA, ENDS, NAME, RETRY, TOPIC};
use crate::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Every second process reverses the order of events.
    OwnOrder,
    NoHistory,
    SilentLoss,
    OtherNumbers,
    ForgottenEnds,
    /// After a break, the process feeds only the first 100 of the entries it missed and skips the
    /// rest.
    ResumeReadsOnePage,
    /// Only the newest 1,000 entries of the history are loaded, but no loss is reported.
    HistoryOf1000,
    /// A reader that is more than 4,096 entries behind continues with the newest 4,096.
    LaggedIsIgnored,
    TrimLossOneTooLow,
    TopicCutAt63,
    NameCutAt255,
    /// An `e` with an accent and an `e` followed by a combining accent are treated as the same.
    TopicNormalized,
    RetryIn32Bits,
    /// The right part of the history is loaded, but with an age of zero.
    AgeIsZero,
    MaxAgeOverflows,
    /// Only the publisher looks for losses. It marks a loss before its next event.
    OnlyPublishersLook,
    /// When a hub is gone, all processes stop reading.
    OneClosedEndsAll,
    /// After a break, a position that is no longer in the log becomes the newest one.
    OffsetResetLatest,
    /// After a break, the process does not report the losses that happened during the break.
    LossMissedByTheAbsent,
    /// If the connection breaks while the history loads, the hub is ready without the rest.
    BreakEndsLoad,
    /// If all events are too old to be loaded, no loss is reported.
    NoLossIfHistoryEmpty,
    /// If events published at once exceed 1 MiB, the excess is acknowledged but not stored.
    BatchOverflows,
    /// After a break, the process feeds only the first 64 KiB of the entries it missed and skips
    /// the rest.
    ResumeBytes64K,
    EndHasDataOnly,
    EmptyEndIsDropped,
    NameLowerCase,
    NameTrimmed,
    NameAscii,
    CommentCutAt255,
    CommentAscii,
    /// The maximum age of the history is rounded down to seconds.
    MaxAgeInSeconds,
    /// A process has a buffer of 4,096 entries and drops entries while the buffer is full. Only the
    /// buffer of a blocked process fills up.
    BufferOverflows,
    /// An event of more than 32 KiB gets its number when it is acknowledged but is stored later.
    LargeIsLate,
    /// Events that the server stores just before a break are reported as refused.
    RefusedAtBreak,
    OneLossPerSecond,
    /// The loss of events that are too old is reported with a number that is one too low.
    HistoryLossOneTooLow,
    ClosedAfterThreeBreaks,
    /// All processes publish over one connection, which is closed when any hub is gone.
    SharedConnection,
    /// Not a flaw: a process combines events that are published at the same time into one batch.
    Batches,
    /// The names of a batch are stored without gaps, so an event can get a later event's name.
    NamesShiftInBatch,
    StickyCommentInBatch,
    /// All events of a batch get the last event's reconnection time.
    RetryOfBatch,
    /// A batch ends all of its topics or none: the first event decides.
    EndFlagOfBatch,
    /// If the first publisher of a batch is dropped, the other events are refused but still arrive.
    LeaderDropped,
    /// Data is stored in chunks of 64 KiB, which are decoded separately.
    ChunksSplitCharacters,
    /// A publish has no time limit while the server is unavailable.
    WaitsWhileDown,
    /// If an ended topic's name is used again, its second end is stored as any other event.
    SecondEndIgnored,
    /// An event whose data exceeds 16 KiB does not end its topic.
    EndOfLargeLost,
    /// Each process loads only what the first process asked for, but reports no loss.
    FirstAgeForAll,
    /// The highest possible number is the newest one that the process has read.
    NoneAhead,
    AnyNumberIsPossible,
    /// All logs have the same name.
    OneName,
    /// The publication time of each event is zero.
    NoTimes,
    /// A lost log's numbers are assigned again.
    NumbersRestart,
    /// Only the first process reports losses.
    LossInOneProcess,
    /// Entries are compared by their numbers alone, so a rollback that newer entries have overtaken
    /// goes unnoticed.
    OvertakenUnnoticed,
    /// A loss that is marked while the history loads is not reported.
    LossWhileLoading,
    /// A task of `start` ends at the next event, even if the future of `start` is dropped before.
    ConnectLeavesTasks,
}

impl Flaw {
    /// Returns whether a process with this flaw combines events that are published at the same time
    /// into one batch.
    const fn batches(self) -> bool {
        matches!(
            self,
            Self::Batches
                | Self::NamesShiftInBatch
                | Self::StickyCommentInBatch
                | Self::RetryOfBatch
                | Self::EndFlagOfBatch
                | Self::LeaderDropped
        )
    }
}

/// How long a process is disconnected after a break.
const BREAK: Duration = Duration::from_millis(5);

struct Local {
    log: Arc<Log>,
    flaw: Option<Flaw>,
    processes: AtomicUsize,
    cut: watch::Sender<()>,
    cuts: AtomicUsize,
    /// Whether the server is unavailable to publishers.
    is_down: watch::Sender<bool>,
    /// Whether all processes must stop reading.
    ended: watch::Sender<bool>,
    /// The bytes of events that are being published.
    in_flight: AtomicUsize,
    /// The first process' age, in the order of the connections.
    first_age: OnceLock<Duration>,
    ended_topics: Mutex<HashSet<String>>,
    /// Held while the server stores an event. With some flaws, other tasks run before the release.
    turn: tokio::sync::Mutex<()>,
}

pub(super) struct LocalWorld(Arc<Local>);

impl LocalWorld {
    pub(super) fn new(flaw: Option<Flaw>) -> Self {
        Self(Arc::new(Local {
            log: Arc::new(Log::new()),
            flaw,
            processes: AtomicUsize::new(0),
            cut: watch::Sender::new(()),
            cuts: AtomicUsize::new(0),
            is_down: watch::Sender::new(false),
            ended: watch::Sender::new(false),
            in_flight: AtomicUsize::new(0),
            first_age: OnceLock::new(),
            ended_topics: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
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
            told: None,
        }
    }

    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        Some(Box::pin(async move { self.0.log.trim(keep) }))
    }

    fn lose(&self) -> Option<Fault<'_>> {
        Some(Box::pin(async {
            match self.0.flaw {
                Some(Flaw::OnlyPublishersLook) => self.0.log.lose_unmarked(),
                Some(Flaw::NumbersRestart) => self.0.log.restart(),
                _ => self.0.log.lose(),
            }
        }))
    }

    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let log = &self.0.log;
        let put_back = async {
            match self.0.flaw {
                Some(Flaw::OvertakenUnnoticed) => log.put_back_unmarked(),
                _ => log.put_back(),
            }
        };
        Some((Box::pin(async { log.copy() }), Box::pin(put_back)))
    }

    fn cut(&self) -> Option<Fault<'_>> {
        Some(Box::pin(async {
            self.0.cuts.fetch_add(1, Relaxed);
            self.0.cut.send_replace(());
        }))
    }

    fn outage(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let set = |is_down| async move { _ = self.0.is_down.send_replace(is_down) };
        Some((Box::pin(set(true)), Box::pin(set(false))))
    }
}

pub(super) struct Process {
    local: Arc<Local>,
    index: usize,
    /// The number up to which the process has read.
    read: u64,
    /// The time of the last reported loss.
    told: Option<Instant>,
}

impl Process {
    fn has(&self, flaw: Flaw) -> bool {
        self.local.flaw == Some(flaw)
    }

    async fn load(&mut self, feed: &mut Feed) {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        let mut max_age = feed.max_age();
        if self.has(Flaw::MaxAgeOverflows) {
            assert!(now - max_age < now);
        }
        if self.has(Flaw::NoHistory) {
            self.read = self.local.log.newest();
        }
        if self.has(Flaw::MaxAgeInSeconds) {
            max_age = Duration::from_secs(max_age.as_secs());
        }
        let cut = self.local.cut.subscribe();
        let mut entries = self.local.log.read(self.read);
        let first_age = *self.local.first_age.get_or_init(|| max_age);
        if self.has(Flaw::FirstAgeForAll) {
            entries.retain(|entry| entry.2 <= first_age);
            self.read = self.local.log.newest();
        }
        if self.has(Flaw::HistoryOf1000) {
            keep_newest(&mut entries, 1000);
        }
        if self.has(Flaw::NoLossIfHistoryEmpty) && entries.iter().all(|entry| entry.2 > max_age) {
            keep_newest(&mut entries, 0);
            self.read = self.local.log.newest();
        }
        let is_old = |entry: &Entry| self.has(Flaw::HistoryLossOneTooLow) && entry.2 > max_age;
        let old = entries.partition_point(is_old);
        if let Some((number, _, _, text)) = entries[..old].last_mut() {
            (*number, *text) = (*number - 1, None);
            entries.drain(..old - 1);
        }
        if self.has(Flaw::AgeIsZero) || self.has(Flaw::MaxAgeInSeconds) {
            for (_, _, age, text) in &mut entries {
                // Events that are too old are reported as a loss.
                text.take_if(|_| *age > max_age);
                *age *= u32::from(!self.has(Flaw::AgeIsZero));
            }
        }
        if self.has(Flaw::TrimLossOneTooLow)
            && let Some(first) = entries.first_mut()
            && first.3.is_none()
        {
            first.0 -= 1;
        }
        for page in entries.chunks(10) {
            if self.has(Flaw::BreakEndsLoad) && cut.has_changed().unwrap() {
                self.read = self.local.log.newest();
                break;
            }
            _ = self.feed(feed, page.to_vec());
            yield_now().await;
        }
        if self.has(Flaw::LossWhileLoading)
            && let Some((_, _, _, None)) = self.local.log.read(self.read).first()
        {
            self.read = self.local.log.newest();
        }
    }

    /// Feeds new entries. `was_away` tells whether they follow a break.
    fn feed_new(&mut self, feed: &mut Feed, was_away: bool) -> Result<(), Closed> {
        let is_last = |entry: &Entry| entry.0 == self.read;
        if was_away
            && self.has(Flaw::OffsetResetLatest)
            && !self.local.log.read(self.read.saturating_sub(1)).first().is_some_and(is_last)
        {
            self.read = self.local.log.newest();
        }
        if self.has(Flaw::OvertakenUnnoticed) && self.local.log.newest() < self.read {
            self.local.log.mark_after(self.read);
        }
        let mut entries = self.local.log.read(self.read);
        let newest = entries.last().map(|(number, ..)| *number);
        let mut bytes = 0;
        match self.local.flaw {
            Some(Flaw::LaggedIsIgnored) => keep_newest(&mut entries, 4096),
            Some(Flaw::BufferOverflows) => entries.truncate(4096),
            Some(Flaw::ResumeReadsOnePage) if was_away => entries.truncate(100),
            Some(Flaw::ResumeBytes64K) if was_away => entries.retain(|(.., text)| {
                bytes += text.as_ref().map_or(0, String::len);
                bytes <= 64 << 10
            }),
            Some(Flaw::LossMissedByTheAbsent) if was_away => {
                entries.retain(|(.., text)| text.is_some());
            }
            _ => {}
        }
        self.feed(feed, entries)?;
        self.read = newest.unwrap_or(self.read);
        Ok(())
    }

    fn feed(&mut self, feed: &mut Feed, mut entries: Vec<Entry>) -> Result<(), Closed> {
        self.read = entries.last().map_or(self.read, |(number, ..)| *number);
        if self.has(Flaw::OwnOrder) && self.index % 2 == 1 {
            let numbers: Vec<_> = entries.iter().map(|(number, ..)| *number).collect();
            entries.reverse();
            entries.iter_mut().zip(numbers).for_each(|(entry, number)| entry.0 = number);
        }
        if self.has(Flaw::NoTimes) {
            entries.iter_mut().for_each(|entry| entry.1 = Duration::ZERO);
        }
        if self.has(Flaw::SilentLoss) || self.has(Flaw::LossInOneProcess) && self.index > 0 {
            entries.retain(|(.., text)| text.is_some());
        }
        if self.has(Flaw::OneLossPerSecond) {
            let is_recent = |at: Instant| at.elapsed() < Duration::from_secs(1);
            entries.retain(|(.., text)| text.is_some() || !self.told.is_some_and(is_recent));
            if entries.iter().any(|(.., text)| text.is_none()) {
                self.told = Some(Instant::now());
            }
        }
        entries.into_iter().try_for_each(|entry| feed_entry(feed, entry).map(drop))
    }

    async fn follow(mut self, mut feed: Feed) {
        let is_shared = self.has(Flaw::SharedConnection);
        let ends_all = is_shared || self.has(Flaw::OneClosedEndsAll);
        let _ends_all = ends_all.then(|| EndsAll(Arc::clone(&self.local)));
        let mut ended = self.local.ended.subscribe();
        let (mut changes, mut cut) = (self.local.log.changes(), self.local.cut.subscribe());
        let mut was_away = false;
        while (is_shared || !*ended.borrow_and_update())
            && self.feed_new(&mut feed, was_away).is_ok()
        {
            was_away = tokio::select! {
                biased;
                _ = cut.changed() => true,
                _ = changes.changed() => false,
                _ = ended.changed(), if !is_shared => false,
            };
            if was_away {
                sleep(BREAK).await;
            }
        }
    }
}

/// Makes all processes stop reading when it is dropped.
struct EndsAll(Arc<Local>);

impl Drop for EndsAll {
    fn drop(&mut self) {
        self.0.ended.send_replace(true);
    }
}

/// Drops the oldest entries without reporting a loss.
fn keep_newest(entries: &mut Vec<Entry>, count: usize) {
    entries.drain(..entries.len().saturating_sub(count));
}

impl Broker for Process {
    type Publisher = LocalPublisher;
    type Error = Infallible;

    fn name(&self) -> String {
        if self.has(Flaw::OneName) { "log".to_owned() } else { self.local.log.name.clone() }
    }

    async fn start(mut self, mut feed: Feed) -> Result<LocalPublisher, Infallible> {
        if self.has(Flaw::ConnectLeavesTasks) {
            let mut changes = self.local.log.changes();
            tokio::spawn(async move { changes.changed().await });
        }
        let publisher = LocalPublisher(Arc::clone(&self.local), Batch::default());
        self.load(&mut feed).await;
        feed.spawn(|feed| self.follow(feed));
        Ok(publisher)
    }
}

pub(super) struct LocalPublisher(Arc<Local>, Batch);

impl LocalPublisher {
    async fn unreachable(&self) -> Option<PublishError> {
        let Local { flaw, cuts, is_down, ended, .. } = &*self.0;
        let refused = || Some(PublishError::Refused("the server is away".into()));
        match flaw {
            Some(Flaw::WaitsWhileDown) => {
                _ = is_down.subscribe().wait_for(|is_down| !is_down).await;
                None
            }
            _ if *is_down.borrow() => refused(),
            Some(Flaw::SharedConnection) if *ended.borrow() => refused(),
            Some(Flaw::ClosedAfterThreeBreaks) if cuts.load(Relaxed) >= 3 => {
                Some(PublishError::Closed)
            }
            _ => None,
        }
    }
}

impl Publisher for LocalPublisher {
    async fn publish(&self, mut publication: Publication) -> Result<Acknowledged, PublishError> {
        if let Some(error) = self.unreachable().await {
            return Err(error);
        }
        let Local { log, flaw, in_flight, turn, cut, .. } = &*self.0;
        let cut = cut.subscribe();
        publication.ends_topic &= match flaw {
            Some(Flaw::ForgottenEnds) => false,
            Some(Flaw::SecondEndIgnored) => {
                let mut ended = self.0.ended_topics.lock().unwrap();
                !publication.ends_topic || ended.insert(publication.topic.clone())
            }
            Some(Flaw::EndOfLargeLost) => publication.event.fields().data.len() <= 16 << 10,
            _ => true,
        };
        let mut fields = encode(&publication);
        spoil(&mut fields, *flaw);
        if let Some(flaw) = flaw.filter(|flaw| flaw.batches()) {
            return self.1.publish(log, flaw, fields).await;
        }
        let text = fields.to_string();
        let is_dropped = match flaw {
            Some(Flaw::EmptyEndIsDropped) => fields[ENDS] == true && fields[DATA] == "",
            Some(Flaw::BatchOverflows) => {
                let before = in_flight.fetch_add(text.len(), Relaxed);
                yield_now().await;
                in_flight.fetch_sub(text.len(), Relaxed);
                before > 0 && before + text.len() > 1 << 20
            }
            _ => false,
        };
        let _turn = turn.lock().await;
        if *flaw == Some(Flaw::LargeIsLate) && text.len() > 32 << 10 {
            let (log, (number, at)) = (Arc::clone(log), log.skip_number());
            tokio::spawn(async move {
                sleep(BREAK).await;
                log.insert(number, at, text);
            });
            return Ok(Acknowledged::new(number, at));
        }
        let (number, at) = if is_dropped { log.skip_number() } else { log.append(Some(text)) };
        if [Some(Flaw::BufferOverflows), Some(Flaw::RefusedAtBreak)].contains(flaw) {
            yield_now().await;
        }
        if *flaw == Some(Flaw::RefusedAtBreak) && cut.has_changed().unwrap() {
            return Err(PublishError::Refused("the connection broke".into()));
        }
        let is_other = *flaw == Some(Flaw::OtherNumbers);
        Ok(Acknowledged::new(number + u64::from(is_other), at))
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        match self.0.flaw {
            Some(Flaw::NoneAhead) => committed,
            Some(Flaw::AnyNumberIsPossible) => u64::MAX,
            _ => committed.saturating_add(1 << 20),
        }
    }
}

/// Changes the fields of an event as a broker with this flaw would.
fn spoil(fields: &mut Value, flaw: Option<Flaw>) {
    let Some(flaw) = flaw else { return };
    let mut map = |field: usize, change: fn(&str) -> String| {
        fields[field] = json!(fields[field].as_str().map(change));
    };
    match flaw {
        Flaw::ChunksSplitCharacters => map(DATA, |text| {
            text.as_bytes().chunks(64 << 10).map(String::from_utf8_lossy).collect()
        }),
        Flaw::TopicCutAt63 => map(TOPIC, |text| text.chars().take(63).collect()),
        Flaw::NameCutAt255 => map(NAME, |text| text.chars().take(255).collect()),
        Flaw::CommentCutAt255 => map(COMMENT, |text| text.chars().take(255).collect()),
        Flaw::TopicNormalized => map(TOPIC, |text| text.replace("e\u{301}", "\u{e9}")),
        Flaw::NameLowerCase => map(NAME, str::to_lowercase),
        Flaw::NameTrimmed => map(NAME, |text| text.trim().to_owned()),
        Flaw::NameAscii => map(NAME, ascii),
        Flaw::CommentAscii => map(COMMENT, ascii),
        Flaw::RetryIn32Bits => {
            let retry = fields[RETRY].as_u64();
            fields[RETRY] = json!(retry.map(|retry| retry & u64::from(u32::MAX)));
        }
        Flaw::EndHasDataOnly if fields[ENDS] == true => {
            [NAME, RETRY, COMMENT].into_iter().for_each(|field| fields[field] = Value::Null);
        }
        _ => {}
    }
}

fn ascii(text: &str) -> String {
    text.replace(|char: char| !char.is_ascii(), "?")
}
