//! The chunked framing of a body, followed byte by byte and passed on as it is: only what has one reading passes.

/// Bytes of a chunk's size line, and of all trailers together.
const LINE: u32 = 256;
const TRAILERS: u32 = 8 << 10;

/// Where in the framing the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the digits of a size.
    Size,
    /// After a size, in what may be said of a chunk.
    Extension,
    SizeEnds,
    Data,
    DataReturns,
    DataEnds,
    /// At the begin of a line behind the last chunk.
    Trailer,
    InTrailer,
    TrailerEnds,
    LastEnds,
    Over,
}

/// Follows one body.
#[derive(Debug)]
pub(crate) struct Chunks {
    at: At,
    /// Bytes of data that passed, and of this chunk those that are still to come.
    passed: u64,
    left: u64,
    digits: u32,
    line: u32,
}

/// The framing is not that of RFC 9112.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misframed;

impl Chunks {
    pub fn new() -> Self {
        Self { at: At::Size, passed: 0, left: 0, digits: 0, line: 0 }
    }

    /// Bytes of data so far.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    pub fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// Follows further bytes; answers how many of them belong to the body.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<usize, Misframed> {
        let mut read = 0;
        while read < bytes.len() && self.at != At::Over {
            if self.at == At::Data {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - read);
                read += count;
                self.left -= count as u64;
                self.passed += count as u64;
                if self.left == 0 {
                    self.at = At::DataReturns;
                }
                continue;
            }
            self.at = self.step(bytes[read])?;
            read += 1;
        }
        Ok(read)
    }

    fn step(&mut self, byte: u8) -> Result<At, Misframed> {
        Ok(match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if self.digits < 15 => {
                let digit = (byte as char).to_digit(16).ok_or(Misframed)?;
                self.left = self.left * 16 + u64::from(digit);
                self.digits += 1;
                At::Size
            }
            (At::Size, b'\r') if self.digits > 0 => At::SizeEnds,
            (At::Size, b';') if self.digits > 0 => At::Extension,
            (At::Extension, b'\r') => At::SizeEnds,
            (At::Extension, b'\t' | 0x20..=0x7e | 0x80..) if self.line < LINE => self.count(At::Extension),
            (At::SizeEnds, b'\n') => {
                (self.digits, self.line) = (0, 0);
                if self.left == 0 { At::Trailer } else { At::Data }
            }
            (At::DataReturns, b'\r') => At::DataEnds,
            (At::DataEnds, b'\n') => At::Size,
            (At::Trailer, b'\r') => At::LastEnds,
            (At::Trailer | At::InTrailer, b'\t' | 0x20..=0x7e | 0x80..) if self.line < TRAILERS => {
                self.count(At::InTrailer)
            }
            (At::InTrailer, b'\r') => At::TrailerEnds,
            (At::TrailerEnds, b'\n') => At::Trailer,
            (At::LastEnds, b'\n') => At::Over,
            _ => return Err(Misframed),
        })
    }

    fn count(&mut self, at: At) -> At {
        self.line += 1;
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] =
        b"5\r\nhello\r\n1A;name=value\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nx-after: 1\r\n\r\n";

    #[test]
    fn a_body_ends_where_it_ends_however_it_arrives() {
        let mut bytes = BODY.to_vec();
        bytes.extend(b"HTTP/1.1 200 OK");
        for step in 1..bytes.len() {
            let mut chunks = Chunks::new();
            let mut used = 0;
            for part in bytes.chunks(step) {
                used += chunks.follow(part).unwrap();
            }
            assert!(chunks.is_over());
            assert_eq!((used, chunks.passed()), (BODY.len(), 31), "in steps of {step}");
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for bytes in [
            &b"5\nhello\r\n0\r\n\r\n"[..],
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"\r\n",
            b";a\r\n",
            b"5 \r\nhello\r\n",
            b"ffffffffffffffff\r\n",
            b"0\r\n\n",
            b"0\r\nx\ny\r\n\r\n",
        ] {
            assert_eq!(Chunks::new().follow(bytes), Err(Misframed), "{:?}", String::from_utf8_lossy(bytes));
        }
        let long = [b"1;".as_slice(), &[b'x'; 300], b"\r\n"].concat();
        assert_eq!(Chunks::new().follow(&long), Err(Misframed));
    }
}
