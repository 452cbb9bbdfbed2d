//! A service whose answer a test chooses, inside a layer whose filters follow a `Plan`.

use std::future::Future;

use http_body::Body;

use crate::naive_filter::{Choice, Plan};
use crate::{support::*, *};

pub(crate) const PASS: Plan =
    Plan { events: vec![], source_end: Choice::Pass, max_event_size: usize::MAX, fails: false };

pub(crate) fn on_events(choices: &[Choice]) -> Plan {
    Plan { events: choices.to_vec(), ..PASS }
}

pub(crate) fn at_end(choice: Choice) -> Plan {
    Plan { source_end: choice, ..PASS }
}

pub(crate) fn filters<B>(
    plan: Plan,
) -> (FilterLayer<impl Fn(&Request<B>) -> Option<Planned> + Clone>, Logged) {
    let log = Logged::default();
    let (made, limit) = (log.clone(), plan.max_event_size);
    let make = move |_: &Request<B>| Some(Planned { plan: plan.clone(), log: made.clone() });
    (FilterLayer::new(make).max_event_size(limit), log)
}

/// Calls a service inside `layer`. The service's future is `answer`.
pub(crate) fn call<M, F, B, C>(
    layer: &FilterLayer<M>,
    request: Request<()>,
    answer: C,
) -> impl Future<Output = Result<Response<FilterBody<F, B>>, BoxError>> + use<M, F, B, C>
where
    M: Fn(&Request<()>) -> Option<F> + Clone,
    F: EventFilter,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
    C: Future<Output = Result<Response<B>, BoxError>>,
{
    let mut answer = Some(answer);
    let mut service =
        layer.layer(service_fn(move |_: Request<()>| answer.take().expect("one request")));
    service.call(request)
}

pub(crate) fn through<M, F, B>(
    layer: &FilterLayer<M>,
    answer: Response<B>,
) -> Response<FilterBody<F, B>>
where
    M: Fn(&Request<()>) -> Option<F> + Clone,
    F: EventFilter,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let answer = call(layer, Request::new(()), ready(Ok(answer)));
    answer.now_or_never().expect("the answer is ready").unwrap()
}

pub(crate) fn fed_by(plan: Plan) -> (Feed, FilterBody<Planned, FedBody>, Logged) {
    let (feed, source) = Feed::new();
    let (layer, log) = filters(plan);
    (feed, through(&layer, event_stream(source)).into_body(), log)
}

pub(crate) fn read<B>(body: &mut B) -> (Vec<Bytes>, Option<String>)
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    let (mut frames, mut error) = (Vec::new(), None);
    loop {
        match poll_frame(body) {
            Polled::Data(sent) => frames.push(sent),
            Polled::Failed(failed) => error = Some(failed),
            Polled::End => return (frames, error),
            // The body yields after many chunks of which it has sent nothing.
            Polled::Pending => {}
            trailers => panic!("{trailers:?}"),
        }
    }
}
