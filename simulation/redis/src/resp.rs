/// A reply in version 2 of the protocol, and the pushes of version 3.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    Simple(&'static str),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Array(Vec<Self>),
    Push(Vec<Self>),
    /// The confirmations of one command for several channels.
    Many(Vec<Self>),
    Nil,
    NilArray,
}

impl Reply {
    pub(super) const OK: Self = Self::Simple("OK");

    pub(super) fn error(text: &str) -> Self {
        Self::Error(format!("ERR {text}"))
    }

    pub(super) fn bulk(text: impl ToString) -> Self {
        Self::Bulk(text.to_string().into_bytes())
    }

    /// Returns the parts of the reply, without the lengths of strings and arrays.
    pub(super) fn text(&self) -> String {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines =
            text.split("\r\n").filter(|line| !line.starts_with(['$', '*']) || line.ends_with("-1"));
        lines.collect::<Vec<_>>().join(" ").replace('\n', "|")
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let head = match self {
            Self::Simple(text) => format!("+{text}"),
            Self::Error(text) => format!("-{text}"),
            Self::Integer(integer) => format!(":{integer}"),
            Self::Bulk(text) => format!("${}", text.len()),
            Self::Array(parts) => format!("*{}", parts.len()),
            Self::Push(parts) => format!(">{}", parts.len()),
            Self::Many(replies) => return replies.iter().for_each(|reply| reply.encode(bytes)),
            Self::Nil => "$-1".to_owned(),
            Self::NilArray => "*-1".to_owned(),
        };
        bytes.extend(head.bytes().chain(*b"\r\n"));
        match self {
            Self::Bulk(text) => bytes.extend(text.iter().chain(b"\r\n")),
            Self::Array(parts) | Self::Push(parts) => {
                parts.iter().for_each(|part| part.encode(bytes))
            }
            _ => {}
        }
    }
}

pub(super) type Command = Vec<Vec<u8>>;

/// Takes the next command from `input`, unless it is incomplete. Clients send arrays of strings.
pub(super) fn take_command(input: &mut Vec<u8>) -> Option<Command> {
    let mut rest = &input[..];
    let parts = take_number(&mut rest, b'*')?;
    let mut command = Vec::with_capacity(parts);
    for _ in 0..parts {
        let length = take_number(&mut rest, b'$')?;
        command.push(rest.get(..length)?.to_vec());
        rest = rest.get(length + 2..)?;
    }
    let taken = input.len() - rest.len();
    input.drain(..taken);
    Some(command)
}

fn take_number(rest: &mut &[u8], kind: u8) -> Option<usize> {
    let end = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
    assert_eq!(rest[0], kind, "not a command");
    let digits = std::str::from_utf8(&rest[1..end]).expect("a number");
    *rest = &rest[end + 2..];
    Some(digits.parse().expect("a number"))
}
