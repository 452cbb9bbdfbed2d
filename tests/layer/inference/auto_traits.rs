// Each probe uses only one of its two constants.
#![allow(dead_code)]

use tower_sse::streams;

use crate::*;

/// Evaluates whether a type implements a trait. Where its bound holds, the inherent constant takes
/// precedence over the trait's constant.
macro_rules! implements {
    ($type:ty: $trait:path) => {{
        struct Probe<T>(PhantomData<T>);
        trait Otherwise {
            const ANSWER: bool = false;
        }
        impl<T> Otherwise for Probe<T> {}
        impl<T: $trait> Probe<T> {
            const ANSWER: bool = true;
        }
        <Probe<$type>>::ANSWER
    }};
}

macro_rules! traits {
    ($type:ty) => {
        [
            ("Send", implements!($type: Send)),
            ("Sync", implements!($type: Sync)),
            ("Unpin", implements!($type: Unpin)),
            ("Clone", implements!($type: Clone)),
        ]
        .into_iter()
        .filter_map(|(name, implemented)| implemented.then_some(name))
        .collect::<Vec<_>>()
        .join(" ")
    };
}

macro_rules! assert_traits {
    ($expected:literal: $($type:ty),+ $(,)?) => {
        $(assert_eq!(traits!($type), $expected, stringify!($type));)+
    };
}

struct Plain;
type Cloning = u8;
/// A type that is `Send` but not `Sync`.
type Sending = Cell<u8>;
/// A type that is neither `Send` nor `Sync`.
type Local = Rc<u8>;
type Pinned = PhantomPinned;

#[test]
fn probe_distinguishes_types() {
    assert_traits!("Send Sync Unpin": Plain);
    assert_traits!("Send Sync Unpin Clone": Cloning);
    assert_traits!("Send Unpin Clone": Sending);
    assert_traits!("Unpin Clone": Local);
    assert_traits!("Send Sync Clone": Pinned);
}

#[test]
fn service_has_the_auto_traits_of_its_inner_service() {
    assert_traits!("Send Sync Unpin": SseService<Plain>);
    assert_traits!("Send Sync Unpin Clone": SseService<Cloning>);
    assert_traits!("Send Unpin Clone": SseService<Sending>);
    assert_traits!("Send Sync Unpin Clone": SseService<Cloning, Local>);
}

#[test]
fn future_has_the_auto_traits_of_its_inner_future() {
    assert_traits!("Send Sync Unpin": SseFuture<Plain>);
    assert_traits!("Send Sync Unpin": SseFuture<Plain, Local>);
    assert_traits!("Send Unpin": SseFuture<Sending>);
}

#[test]
fn bodies_have_the_auto_traits_of_their_parts() {
    assert_traits!("Send Sync Unpin": EventBody<Plain>, SseBody<Plain>, SseBody<EventBody<Plain>>);
    assert_traits!("Send Unpin": EventBody<Sending>, SseBody<Sending>, SseBody<EventBody<Sending>>);
}

struct BodyOf<T>(T);

impl<T> http_body::Body for BodyOf<T> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

#[test]
fn stream_of_messages_has_the_auto_traits_of_its_body() {
    assert_traits!("Send Sync Unpin": MessageStream<BodyOf<Plain>>);
    assert_traits!("Send Unpin": MessageStream<BodyOf<Sending>>);
}

#[test]
fn values_have_all_auto_traits() {
    assert_traits!(
        "Send Sync Unpin Clone":
        SseLayer, SseLayer<marker::Events>, SseLayer<Local>, SseLayer<Plain>, SseLayer<Pinned>,
        Event, Encoded, EventId, EventName, InvalidField, Message, MessageId, LastEventId,
        Heartbeat, Retry, StreamOptions, EventTooLarge, Decoder,
        CloseReport, CloseReason, Disconnect, Drain, MaxAge, Refusal, Stats, StatsSnapshot,
        streams::Streams, streams::StreamsBuilder, streams::StreamsStats, streams::Subjects,
    );
    #[cfg(feature = "early-head")]
    assert_traits!("Send Sync Unpin Clone": tower_sse::early_head::EarlyHeadLayer);
}

#[cfg(feature = "filter")]
#[test]
fn filters_have_the_auto_traits_of_their_parts() {
    use tower_sse::decode::{EventRef, EventSplitter};
    use tower_sse::filter::{
        FilterBody, FilterEnd, FilterLayer, FilterOutcome, SourceEnd, Verdict,
    };
    assert_traits!("Send Sync Unpin Clone": EventSplitter, EventRef<'static>, FilterEnd, FilterOutcome, SourceEnd<'static>);
    assert_traits!("Send Sync Unpin": Verdict);
    assert_traits!("Send Sync Unpin Clone": FilterLayer<Cloning>);
    assert_traits!("Send Sync Unpin": FilterBody<Never, Plain>);
    assert_traits!("Send Unpin": FilterBody<Never, Sending>);
}

/// A filter without a closure, whose type can be written.
#[cfg(feature = "filter")]
struct Never;

#[cfg(feature = "filter")]
impl tower_sse::filter::EventFilter for Never {
    fn event(&mut self, _: tower_sse::decode::EventRef<'_>) -> tower_sse::filter::Verdict {
        tower_sse::filter::Verdict::Pass
    }
}

#[cfg(feature = "json")]
#[test]
fn json_has_the_auto_traits_of_its_value() {
    use tower_sse::Json;

    assert_traits!("Send Sync Unpin": Json<Plain>);
    assert_traits!("Send Sync Unpin Clone": Json<Cloning>);
    assert_traits!("Send Unpin Clone": Json<Sending>);
}

#[cfg(feature = "hub")]
#[test]
fn hub_has_all_auto_traits_and_a_subscription_all_but_clone() {
    use tower_sse::Retention;
    use tower_sse::hub::{
        GapPolicy, Hub, HubBuilder, HubStats, PublishError, Receipt, Subscribe, Subscription,
    };

    assert_traits!("Send Sync Unpin Clone": Hub, HubStats, GapPolicy, Receipt, Retention);
    assert_traits!("Send Sync Unpin": PublishError, HubBuilder, Subscribe, Subscription);
}

#[cfg(feature = "testing")]
#[test]
fn test_client_and_its_streams_are_send() {
    assert_traits!("Send Sync Unpin": TestClient<Sending>, TestClient<Pinned, Local>);
    assert_traits!("Send Unpin": TestStream);
    #[cfg(feature = "hub")]
    assert_traits!("Send Sync Unpin Clone": tower_sse::testing::MemoryBroker);
}

#[cfg(feature = "runs")]
#[test]
fn runs_have_all_auto_traits_and_attachments_all_but_clone() {
    use tower_sse::layer::SseBody;
    use tower_sse::runs::{
        Attachment, InvalidKey, Outcome, Run, RunEnd, RunError, RunFuture, RunKey, RunLayer,
        RunService, Runs, RunsBuilder, RunsStats, StartError,
    };

    assert_traits!("Send Sync Unpin Clone": Runs, Run, RunKey, InvalidKey, RunEnd, RunError);
    assert_traits!("Send Sync Unpin Clone": RunsStats, Outcome, StartError);
    assert_traits!("Send Sync Unpin Clone": RunLayer<Cloning>, RunService<Cloning, Cloning>);
    assert_traits!("Send Sync Unpin": RunsBuilder, Attachment, SseBody, SseBody<Plain>);
    assert_traits!("Send Sync Unpin": RunLayer<Plain>, RunService<Cloning, Plain>);
    assert_traits!("Send Unpin": RunFuture<std::future::Ready<Plain>>);
}

/// Two tasks cannot feed a hub at the same time.
#[cfg(feature = "hub")]
#[test]
fn feed_cannot_be_cloned() {
    use tower_sse::hub::broker::{Acknowledged, Arrival, Closed, Feed, Fields, Publication};
    assert_traits!("Send Sync Unpin": Feed);
    assert_traits!("Send Sync Unpin Clone": Acknowledged, Arrival, Closed, Fields<'static>, Publication);
}
