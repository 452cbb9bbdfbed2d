use eventsource_stream::Eventsource;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use sse_stream::SseStream;
use sseer::event_stream::EventStream;
use tower_sse::decode::{Decoder, MessageStream};

use crate::*;

/// The number of events in a chunk.
const EVENTS: u64 = 64;

/// Returns the cases of decoding. `Decoder` reads whole events or pieces of them. `MessageStream`
/// and the peers read the chunks of a body. Each event has 64 bytes of data.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("decode whole events", OURS, decoded(usize::MAX)),
        Case::new("decode pieces of 50 B", OURS, decoded(50)),
    ];
    for (work, wire) in
        [("decode a stream of data", data()), ("decode a stream of names and ids", full())]
    {
        let bodies = |wire: Bytes| move |times| chunks(&wire, times);
        let frames = |wire: Bytes| move |times| chunks(&wire, times).map(|it| it.map(Frame::data));
        cases.extend([
            Case::new(work, OURS, {
                let body = frames(wire.clone());
                read(
                    move |times| MessageStream::new(StreamBody::new(body(times))),
                    |message| message.as_ref().map_or(0, |message| message.data.len()),
                )
            }),
            Case::new(work, "eventsource-stream", {
                let body = bodies(wire.clone());
                read(
                    move |times| body(times).eventsource(),
                    |event| event.as_ref().map_or(0, |event| event.data.len()),
                )
            }),
            Case::new(work, "sse-stream", {
                let body = bodies(wire.clone());
                read(
                    move |times| SseStream::from_bytes_stream(body(times)),
                    |event| {
                        let data = event.as_ref().ok().and_then(|event| event.data.as_ref());
                        data.map_or(0, String::len)
                    },
                )
            }),
            Case::new(work, "sseer", {
                let body = bodies(wire);
                read(
                    move |times| EventStream::new(body(times)),
                    |event| event.as_ref().map_or(0, |event| event.data.len()),
                )
            }),
        ]);
    }
    cases
}

fn data() -> Bytes {
    let events = (0..EVENTS).map(|_| Event::new().data(line(64)));
    events.collect::<Encoded>().into()
}

fn full() -> Bytes {
    let events = (0..EVENTS).map(|id| Event::new().event("tick").id(id).data(line(64)));
    events.collect::<Encoded>().into()
}

/// Returns a stream of at most `times` events, in whole chunks.
fn chunks(wire: &Bytes, times: u64) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let chunks = usize::try_from(times / EVENTS).expect("few events");
    stream::iter(iter::repeat_n(wire.clone(), chunks)).map(Ok)
}

/// Returns a function that reads all items of a stream and adds up their `data_len`.
fn read<S: Stream>(
    open: impl Fn(u64) -> S,
    data_len: impl Fn(&S::Item) -> usize,
) -> impl FnMut(u64) -> u64 {
    move |times| {
        let mut items = Box::pin(open(times));
        let sum = async {
            let mut bytes = 0;
            while let Some(item) = Pin::new(&mut items).next().await {
                bytes += data_len(&item) as u64;
                black_box(item);
            }
            bytes
        };
        let bytes = sum.now_or_never().expect("all chunks are there");
        assert_eq!(bytes, times / EVENTS * EVENTS * 64);
        bytes
    }
}

fn decoded(piece_len: usize) -> impl FnMut(u64) -> u64 {
    let wire = full();
    move |times| {
        let mut decoder = Decoder::new();
        let mut bytes = 0;
        for _ in 0..times / EVENTS {
            for mut piece in wire.chunks(piece_len) {
                while let Some(message) = decoder.decode(&mut piece).expect("small events") {
                    bytes += message.data.len() as u64;
                    black_box(message);
                }
            }
        }
        bytes
    }
}
