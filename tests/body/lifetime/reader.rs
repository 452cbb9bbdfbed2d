use super::*;
use crate::{rig::*, *};

const INTERVAL: Duration = Duration::from_millis(100);
const AGE: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Why {
    AtOnce,
    /// The shutdown, for each client without delay, but with the usual wait for the end of an
    /// event.
    Shutdown,
    Age,
}

impl Why {
    fn patience(self) -> Duration {
        match self {
            Self::AtOnce => 500 * MILLISECOND,
            Self::Shutdown | Self::Age => 5 * SECOND,
        }
    }
}

pub(crate) struct Reader {
    pub(crate) rig: Rig,
    why: Why,
    pub(crate) got: Vec<u8>,
    /// The number of bytes received before the stream had to end.
    pub(crate) before: Option<usize>,
    /// Whether the end was clean, if it has come.
    pub(crate) clean: Option<bool>,
}

impl Reader {
    pub(crate) fn new(why: Why, client: Requester) -> Self {
        let layer = match why {
            Why::AtOnce => layer(Drain::at_once()),
            Why::Shutdown => layer(Drain::spread_over(Duration::ZERO)),
            Why::Age => layer(Drain::never()).max_age(MaxAge::new(AGE)),
        };
        let rig = Rig::new(layer.heartbeat(Heartbeat::every(INTERVAL)), client);
        Self { rig, why, got: Vec::new(), before: None, clean: None }
    }

    /// Takes one frame, or the end. Returns `false` if neither is ready, or if the end was taken
    /// before.
    pub(crate) fn take(&mut self) -> bool {
        let over = self.clean.is_some();
        match self.rig.poll() {
            Polled::Pending => return false,
            Polled::End if over => return false,
            polled if over => panic!("{polled:?} after the end"),
            Polled::Data(data) => {
                assert!(!data.is_empty(), "no frame is empty");
                self.got.extend(data);
            }
            Polled::Failed(_) => self.clean = Some(false),
            Polled::End => self.clean = Some(true),
            Polled::Trailers(trailers) => panic!("{trailers:?}"),
        }
        true
    }

    pub(crate) fn take_all(&mut self) {
        while self.take() {}
    }

    pub(crate) async fn be_silent(&mut self) {
        self.take_all();
        time::advance(2 * INTERVAL).await;
        self.take_all();
    }

    pub(crate) async fn end(&mut self) {
        match self.why {
            Why::AtOnce | Why::Shutdown => self.rig.shutdown.cancel(),
            Why::Age => time::advance(AGE + 30 * SECOND).await,
        }
        self.before = Some(self.got.len());
    }

    pub(crate) async fn finish(&mut self) {
        self.take_all();
        if !self.rig.feed.is_dropped() {
            time::advance(self.why.patience()).await;
            self.take_all();
            assert!(self.rig.feed.is_dropped(), "it goes on");
        }
        time::advance(20 * MILLISECOND).await;
        self.take_all();
        assert!(self.clean.is_some(), "there is no end");
        assert!(self.rig.body.is_end_stream() && self.rig.reason().is_some());
    }

    /// Asserts that no event is lost, changed or cut, and that at most one event, the current one,
    /// was completed after the stream was due.
    pub(crate) fn assert_is_beginning_of(&self, stream: &[u8], client: Requester) {
        let (whole, got) = (naive::read(stream), naive::read(&self.got));
        let before = naive::read(&self.got[..self.before.unwrap()]);
        let mut seen = got.events;
        let farewell = seen.pop_if(|(name, ..)| name == "bye");
        let text = self.got.escape_ascii();
        assert!(whole.events.starts_with(&seen), "{text} of {}", stream.escape_ascii());
        let further = seen.len().checked_sub(before.events.len());
        assert!(matches!(further, Some(0 | 1)), "{further:?} further events: {text}");

        let is_told = !matches!(self.why, Why::Age);
        let cut = if is_told { before_goodbye(&self.got) } else { Some(&*self.got) };
        let cut = cut.filter(|theirs| naive::read(theirs).place == Place::BetweenEvents);
        match cut {
            Some(theirs) => {
                assert_eq!(self.clean, Some(!client.is_cut_by_failing()), "{text}");
                assert_eq!(farewell.is_some(), is_told, "{text}");
                assert_eq!(got.last_event_id, naive::read(theirs).last_event_id);
            }
            None => {
                assert_eq!(self.clean, Some(false), "half an event looks like a whole one: {text}");
                assert_eq!((farewell, seen), (None, whole.events), "{text}");
            }
        }
    }
}

/// Returns the bytes before the goodbye, which can end with an id. Returns `None` if the stream
/// doesn't end with the goodbye.
pub(crate) fn before_goodbye(got: &[u8]) -> Option<&[u8]> {
    let open = GOODBYE.trim_ascii_end().as_bytes();
    let at = got.windows(open.len()).rposition(|bytes| bytes == open)?;
    let (theirs, goodbye) = got.split_at(at);
    match &goodbye[open.len()..] {
        b"\n\n" => Some(theirs),
        [b'\n', id @ .., b'\n', b'\n'] if id.starts_with(b"id:") && !id.contains(&b'\n') => {
            Some(theirs)
        }
        _ => None,
    }
}
