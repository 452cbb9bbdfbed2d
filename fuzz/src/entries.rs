use crate::*;

/// An entry of a Redis stream decodes to one event or none, whatever fields its publisher adds.
pub fn entries(data: &[u8]) {
    let Ok(fields) = Vec::<(Vec<u8>, Vec<u8>)>::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let known = ["topic", "data", "event", "retry", "comment", "gap", "skip"];
    let fields: Vec<Vec<u8>> = fields
        .into_iter()
        .flat_map(|(name, value)| {
            // The fuzzer would seldom guess a whole name.
            let name = match name.first() {
                Some(n) if usize::from(*n) < known.len() => known[usize::from(*n)].into(),
                _ => name,
            };
            [name, value]
        })
        .collect();
    let Some((topic, event)) = tower_sse_redis::fuzzing::event_of_entry(fields.clone()) else {
        return;
    };
    let value = |name: &str| {
        fields.chunks_exact(2).find(|field| field[0] == name.as_bytes()).map(|field| &field[1])
    };
    assert_eq!(value("topic").map(Vec::as_slice), Some(topic.as_bytes()));
    let stream = Encoded::from(event);
    let read = naive::read(stream.as_bytes());
    let [(name, data, id)] = &*read.events else { panic!("{:?}", read.events) };
    let sent = String::from_utf8_lossy(value("data").expect("data")).into_owned();
    assert_eq!(*data, naive::normalized(&sent));
    let sent_name = value("event").map(|name| String::from_utf8_lossy(name).into_owned());
    assert_eq!(*name, sent_name.filter(|name| !name.is_empty()).unwrap_or("message".to_owned()));
    assert_eq!(id, "");
}
