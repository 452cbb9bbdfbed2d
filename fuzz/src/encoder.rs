use tower_sse::Event;

use crate::*;

#[derive(Arbitrary, Debug)]
struct Fields {
    name: Option<String>,
    id: Option<String>,
    data: Option<String>,
    retry: Option<u32>,
    comment: Option<String>,
}

/// Whatever text an event contains, a client decodes that event and nothing else.
pub fn encoder(data: &[u8]) {
    let Ok(events) = Vec::<Fields>::arbitrary(&mut Unstructured::new(data)) else { return };
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    let mut last_event_id = String::new();
    for Fields { name, id, data, retry, comment } in events {
        let mut event = Event::new();
        let mut expected_name = "message".to_owned();
        if let Some(name) = name {
            match Event::new().try_event(&*name) {
                Ok(_) => {
                    event = event.try_event(&*name).expect("the same name");
                    if !name.is_empty() {
                        expected_name = name;
                    }
                }
                Err(_) => assert!(name.contains(['\r', '\n', '\0'])),
            }
        }
        if let Some(id) = id {
            match Event::new().try_id(&*id) {
                Ok(_) => {
                    event = event.try_id(&*id).expect("the same id");
                    last_event_id = id;
                }
                Err(_) => assert!(id.contains(['\r', '\n', '\0'])),
            }
        }
        if let Some(retry) = retry {
            event = event.retry(Duration::from_millis(retry.into()));
        }
        if let Some(comment) = comment {
            event = event.comment(comment);
        }
        if let Some(data) = data {
            let data = data.replace("\r\n", "\n").replace('\r', "\n");
            event = event.data(&*data);
            expected.push((expected_name, data, last_event_id.clone()));
        }
        stream.extend_from_slice(Encoded::from(event).as_bytes());
    }
    assert_eq!(naive::read(&stream).events, expected);

    let (mut decoder, mut input) = (Decoder::new().max_event_size(usize::MAX), &*stream);
    let mut decoded = Vec::new();
    while let Some(message) = decoder.decode(&mut input).expect("no limit") {
        decoded.push(naive::seen(message));
    }
    assert_eq!(decoded, naive::read(&stream).events);
}
