use crate::*;

/// Removes the chunked transfer coding from the bytes of one connection.
#[derive(Default)]
pub struct Dechunker {
    at: Place,
    /// The size of the current chunk while its digits are read, then what is left of it.
    left: usize,
}

#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Size,
    Data,
    /// In the line end behind the data.
    LineEnd,
}

impl Dechunker {
    /// Appends the content in `bytes` to `body`.
    ///
    /// # Errors
    ///
    /// Returns an error if they are no chunks, or if the body ends.
    pub fn push(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> io::Result<()> {
        while let Some((&first, rest)) = bytes.split_first() {
            match self.at {
                Place::Data => {
                    let (data, rest) = bytes.split_at(self.left.min(bytes.len()));
                    body.extend_from_slice(data);
                    self.left -= data.len();
                    bytes = rest;
                    if self.left == 0 {
                        self.at = Place::LineEnd;
                    }
                    continue;
                }
                Place::Size => match (first, (first as char).to_digit(16)) {
                    (_, Some(digit)) => self.left = self.left * 16 + digit as usize,
                    (b'\r', None) => {}
                    (b'\n', None) if self.left > 0 => self.at = Place::Data,
                    (b'\n', None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    _ => return Err(io::Error::other("no chunk where one should begin")),
                },
                Place::LineEnd if first == b'\n' => self.at = Place::Size,
                Place::LineEnd if first == b'\r' => {}
                Place::LineEnd => return Err(io::Error::other("a chunk longer than its size")),
            }
            bytes = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_the_same_however_its_bytes_are_cut() {
        let bytes = b"5\r\nhello\r\n00c\r\nlong\r\n chunk\r\n";
        for size in 1..=bytes.len() {
            let (mut dechunker, mut body) = (Dechunker::default(), Vec::new());
            bytes.chunks(size).for_each(|piece| dechunker.push(piece, &mut body).unwrap());
            assert_eq!(body, b"hellolong\r\n chunk", "pieces of {size} bytes");
        }
        for wrong in [&b"0\r\n\r\n"[..], b"1\r\nab\r\n", b"data: a\n\n"] {
            assert!(Dechunker::default().push(wrong, &mut Vec::new()).is_err(), "{wrong:?}");
        }
    }
}
