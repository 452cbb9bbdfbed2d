use tower_sse::streams::Streams;

use crate::{rig::*, *};

/// Returns a layer that sends an event at the end of the source, at its error and at a shutdown,
/// but not when the program closes a stream.
pub(crate) fn layer(streams: &Streams) -> SseLayer {
    rig::layer(Drain::per_client()).streams(streams)
}

pub(crate) fn open_for(
    streams: &Streams,
    layer: SseLayer,
    client: Requester,
    subjects: &[&'static str],
) -> Rig {
    let mut request = client.request("/");
    let handle = streams.subjects_of(&mut request);
    subjects.iter().for_each(|subject| _ = handle.add(*subject));
    Rig::fed(layer, request)
}

pub(crate) fn open(streams: &Streams, subjects: &[&'static str]) -> Rig {
    open_for(streams, layer(streams), Requester::EventSource, subjects).begin(b"")
}

pub(crate) fn add<B>(request: &Request<B>, subjects: &[&'static str]) {
    let handle = request.extensions().get::<Subjects>().expect("the layer has streams");
    for subject in subjects {
        handle.add(*subject);
    }
}

pub(crate) fn now<T>(future: impl Future<Output = Result<T, CloseError>>) -> T {
    future.now_or_never().expect("ready without a broker").expect("no error without a broker")
}
