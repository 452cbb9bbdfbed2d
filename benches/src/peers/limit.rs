use crate::*;

const BUFFER: usize = 16 * 1024;

/// Copies the wire bytes, event by event, and nothing else.
pub fn text(work: &'static str, text: &'static str) -> Case {
    let wire = Encoded::from(Event::from(text));
    let mut buffer = Vec::with_capacity(BUFFER);
    Case::new(work, "memcpy", move |times| {
        let wire = black_box(wire.as_bytes());
        for _ in 0..times {
            if buffer.len() + wire.len() > BUFFER {
                black_box(&buffer);
                buffer.clear();
            }
            buffer.extend_from_slice(wire);
        }
        times * wire.len() as u64
    })
}

/// Serializes with serde_json into a buffer that is large enough, and nothing else.
pub fn json(work: &'static str) -> Case {
    let mut buffer = Vec::with_capacity(BUFFER);
    Case::new(work, "serde_json", move |times| {
        let mut bytes = 0;
        for _ in 0..times {
            if buffer.len() + 512 > BUFFER {
                black_box(&buffer);
                buffer.clear();
            }
            let start = buffer.len();
            serde_json::to_writer(&mut buffer, black_box(&MESSAGE))
                .expect("a value that serialises");
            bytes += (buffer.len() - start) as u64;
        }
        bytes
    })
}
