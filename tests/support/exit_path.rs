//! Every exit path of a stream, for tests of what must happen on each: the report, and the release
//! of the stream's place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::{task::yield_now, time::advance};
use tokio_util::sync::CancellationToken;
use tower_sse::{Disconnect, Drain, MaxAge, Retry, StreamOptions, streams::Streams};

use super::{kind::Body, *};

/// Longer than the layer waits between the last bytes and an error.
const HELD_BACK: Duration = Duration::from_millis(21);
const AGE: Duration = Duration::from_secs(1);

macro_rules! exit_paths {
    ($($reason:ident: $($path:ident),+;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ExitPath { $($($path),+),+ }

        impl ExitPath {
            pub const ALL: &[Self] = &[$($(Self::$path),+),+];

            /// Returns the reason with which the response ends, whether or not a stream is opened.
            pub const fn end(self) -> CloseReason {
                match self {
                    $($(Self::$path)|+ => CloseReason::$reason,)+
                }
            }
        }
    };
}

// `NotAcceptable` and `Head` open no stream, whatever the kind of service.
exit_paths! {
    Ended: SourceEnds, SourceEndsBeforeTheTerminator, NotAcceptable, Head;
    Failed: SourceFails, SourceFailsAndSomebodySaysSo, ClientLeavesBeforeTheFailure, ServiceFails;
    Panicked: SourcePanics, SourcePanicsAndTheThreadUnwinds, ThreadUnwinds, ServicePanics,
        ServicePanicsInTheCall;
    Disconnected: ClientLeaves, ClientLeavesBeforeTheFirstPoll, ClientLeavesBeforeTheHead;
    Cancelled: Cancelled, CancelledByFailing;
    Drained: Drained, DrainedByFailing;
    Expired: Expired, ExpiredByFailing, ExpiredAtTheFirstPoll;
    Answered: Answered;
    Revoked: Revoked, RevokedByFailing, RevokedUnread;
}

use ExitPath::*;

impl ExitPath {
    /// Returns the close reason of the stream, or `None` if none is opened.
    pub const fn reason<K: Kind>(self) -> Option<CloseReason> {
        match self {
            NotAcceptable | Head => None,
            ClientLeavesBeforeTheHead | ServiceFails | ServicePanics | ServicePanicsInTheCall
                if !K::BARE =>
            {
                None
            }
            _ => Some(self.end()),
        }
    }

    const fn frames(self) -> &'static [&'static str] {
        match self {
            ClientLeavesBeforeTheFirstPoll
            | ExpiredAtTheFirstPoll
            | Answered
            | ClientLeavesBeforeTheHead
            | ServiceFails
            | ServicePanics
            | ServicePanicsInTheCall
            | NotAcceptable
            | Head => &[],
            SourceEndsBeforeTheTerminator => &[ONE, "data: end\n\n"],
            SourceFailsAndSomebodySaysSo => &[ONE, "data: failed\n\n"],
            Drained | DrainedByFailing => &[ONE, GOODBYE],
            SourceFails
            | ClientLeavesBeforeTheFailure
            | CancelledByFailing
            | ExpiredByFailing
            | RevokedByFailing => &[ONE, LAST_LINE],
            _ => &[ONE],
        }
    }

    pub fn sent(self) -> (u64, u64) {
        let frames = self.frames();
        (frames.len() as u64, frames.iter().map(|frame| frame.len() as u64).sum())
    }

    /// Ends the response of a service inside `layer` on this exit path. Returns the `Disconnect`
    /// that the service found in its request.
    pub async fn go<K: Kind>(self, layer: &SseLayer<K::Marker>) -> Option<Disconnect> {
        let (source, events) = Source::new();
        self.go_with::<K>(layer, source, events).await
    }

    pub async fn go_with<K: Kind>(
        self,
        layer: &SseLayer<K::Marker>,
        source: Source,
        events: Events,
    ) -> Option<Disconnect> {
        let _case = case(format!("{self:?}"));
        // Start with the whole coop budget of tokio.
        yield_now().await;
        let shutdown = CancellationToken::new();
        // With this limit, the check at the end fails if the exit path does not release its place.
        let streams = Streams::builder().limit("a", 1).build();
        let layer = self.set_up(layer.clone().shutdown(shutdown.clone()).streams(&streams));
        let disconnect = Arc::new(Mutex::new(None));
        let mut events = Some(events);
        let service = service_fn(|request: Request<()>| {
            *disconnect.lock().unwrap() = request.extensions().get::<Disconnect>().cloned();
            let events = events.take();
            assert!(self != ServicePanicsInTheCall, "in the call");
            async move {
                match self {
                    ClientLeavesBeforeTheHead => std::future::pending().await,
                    ServiceFails => Err(io::Error::other("the service fails")),
                    ServicePanics => panic!("in the service"),
                    _ => Ok(K::answer(events.expect("one request"))),
                }
            }
        });
        let mut service = layer.layer(service);
        match self {
            ClientLeavesBeforeTheHead => {
                assert!(service.call(self.request(&streams)).now_or_never().is_none());
            }
            ServiceFails => {
                service.call(self.request(&streams)).now_or_never().unwrap().map(drop).unwrap_err();
            }
            ServicePanics | ServicePanicsInTheCall => {
                let panicking = || drop(service.call(self.request(&streams)).now_or_never());
                catch_unwind(AssertUnwindSafe(panicking)).unwrap_err();
            }
            _ => {
                let answer = service.call(self.request(&streams)).now_or_never();
                let response = answer.expect("the answer is ready").unwrap();
                match self {
                    NotAcceptable => assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE),
                    _ => assert_eq!(response.status(), StatusCode::OK),
                }
                self.consume(response.into_body(), source, &shutdown, &streams).await;
            }
        }
        drop(service);
        assert_eq!(streams.subjects(), []);
        assert!(streams.subjects_of(&mut Request::new(())).add("a"), "the place is free again");
        disconnect.lock().unwrap().take()
    }

    fn set_up<M>(self, layer: SseLayer<M>) -> SseLayer<M> {
        let drain = || Drain::at_once().retry(Retry::fixed(Duration::from_millis(2500)));
        let layer = layer.without_retry();
        match self {
            SourceEndsBeforeTheTerminator => layer.terminator(Event::from("end")),
            SourceFailsAndSomebodySaysSo => layer.on_error(|_| Event::from("failed")),
            Drained | DrainedByFailing => layer.drain(drain()).farewell(Event::from("bye")),
            Expired | ExpiredByFailing => layer.max_age(MaxAge::new(AGE)),
            ExpiredAtTheFirstPoll => layer.max_age(MaxAge::new(Duration::ZERO)),
            Answered => layer.options(StreamOptions::new().long_poll(AGE)),
            NotAcceptable => layer.require_accept(true),
            _ => layer,
        }
    }

    fn request(self, streams: &Streams) -> Request<()> {
        let mut request = match self {
            Head => Request::head("/").body(()).unwrap(),
            NotAcceptable => {
                Request::get("/").header("accept", "application/json").body(()).unwrap()
            }
            Cancelled => Requester::EventSource.request("/"),
            CancelledByFailing | DrainedByFailing | ExpiredByFailing | RevokedByFailing => {
                Requester::Fetch.request("/")
            }
            _ => Request::new(()),
        };
        assert!(streams.subjects_of(&mut request).add("a"), "a free place");
        request
    }

    async fn consume(
        self,
        mut body: Body,
        source: Source,
        shutdown: &CancellationToken,
        streams: &Streams,
    ) {
        let mut frames = self.frames().iter().copied().map(data);
        if let Some(one) = frames.next() {
            source.send("one");
            assert_polls(&mut body, [one, Polled::Pending]);
        }
        match self {
            SourceEnds | SourceEndsBeforeTheTerminator => drop(source),
            SourceFails | SourceFailsAndSomebodySaysSo | ClientLeavesBeforeTheFailure => {
                source.fail(io::Error::other("broken"));
            }
            SourcePanics => {
                source.panic();
                let panicking = || poll_frame(&mut body);
                catch_unwind(AssertUnwindSafe(panicking)).unwrap_err();
            }
            SourcePanicsAndTheThreadUnwinds => {
                source.panic();
                let panicking = move || poll_frame(&mut { body });
                catch_unwind(AssertUnwindSafe(panicking)).unwrap_err();
                return;
            }
            ThreadUnwinds => {
                let panicking = move || {
                    let _body = body;
                    panic!("elsewhere");
                };
                catch_unwind(AssertUnwindSafe(panicking)).unwrap_err();
                return;
            }
            // The source has another event, but the body is dropped without another poll.
            ClientLeaves | ClientLeavesBeforeTheFirstPoll => source.send("two"),
            Cancelled | CancelledByFailing => source.fail(io::Error::other(cancelled_task().await)),
            Revoked | RevokedByFailing | RevokedUnread => {
                assert_eq!(streams.close("a").await.unwrap(), 1);
            }
            Drained | DrainedByFailing => shutdown.cancel(),
            Expired | ExpiredByFailing => advance(AGE).await,
            Answered => idle(&mut body, AGE).await,
            _ => {}
        }
        assert_polls(&mut body, frames);
        match self {
            SourceFails | CancelledByFailing | DrainedByFailing | ExpiredByFailing
            | RevokedByFailing => {
                idle(&mut body, HELD_BACK).await;
                assert!(matches!(poll_frame(&mut body), Polled::Failed(_)));
            }
            ClientLeavesBeforeTheFailure => {
                assert_eq!(poll_frame(&mut body), Polled::Pending, "it is held back");
            }
            SourcePanics | ClientLeaves | ClientLeavesBeforeTheFirstPoll | RevokedUnread => {}
            _ => assert_eq!(poll_frame(&mut body), Polled::End),
        }
    }
}

const ONE: &str = "data: one\n\n";
/// The bytes sent before a failure if there are no other last bytes.
const LAST_LINE: &str = ": \n";
const GOODBYE: &str = "retry: 2500\ndata: bye\n\n";
