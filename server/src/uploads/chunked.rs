//! `aws-chunked` bodies with unsigned chunks: what clients send through TLS.

use http::StatusCode;

use super::xml::S3Error;

/// The longest line of a chunk's head or of the trailer.
const LONGEST_LINE: usize = 4096;

/// Takes the body apart as it comes.
#[derive(Debug, Default)]
pub struct Chunked {
    state: State,
    line: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    /// In the line with the size.
    #[default]
    Head,
    /// This many bytes of data to come.
    Data(u64),
    /// In the line break behind data.
    Break,
    /// Behind the last chunk.
    Trailer,
}

impl Chunked {
    /// The data within some bytes of the body.
    pub fn decode(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, S3Error> {
        let mut out = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            match self.state {
                State::Data(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    out.extend_from_slice(&bytes[..take]);
                    bytes = &bytes[take..];
                    let left = left - take as u64;
                    self.state = if left == 0 { State::Break } else { State::Data(left) };
                }
                State::Trailer => break,
                State::Head | State::Break => {
                    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                        self.line.extend_from_slice(bytes);
                        if self.line.len() > LONGEST_LINE {
                            return Err(malformed());
                        }
                        break;
                    };
                    self.line.extend_from_slice(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                    self.end_of_line()?;
                }
            }
        }
        Ok(out)
    }

    /// Whether the last chunk was seen.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Trailer)
    }

    fn end_of_line(&mut self) -> Result<(), S3Error> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| malformed())?.trim_end_matches('\r');
        self.state = match self.state {
            State::Break if line.is_empty() => State::Head,
            State::Break => return Err(malformed()),
            _ => {
                let size = line.split(';').next().unwrap_or_default();
                match u64::from_str_radix(size, 16).map_err(|_| malformed())? {
                    0 => State::Trailer,
                    size => State::Data(size),
                }
            }
        };
        Ok(())
    }
}

fn malformed() -> S3Error {
    S3Error::new(StatusCode::BAD_REQUEST, "InvalidRequest", "the aws-chunked body could not be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";

    #[test]
    fn any_cut_gives_the_same_data() {
        for size in 1..BODY.len() {
            let mut chunked = Chunked::default();
            let data: Vec<u8> = BODY.chunks(size).flat_map(|part| chunked.decode(part).unwrap()).collect();
            assert_eq!(data, b"hello world", "cut every {size} bytes");
            assert!(chunked.is_complete());
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Chunked::default().decode(b"zz\r\n").is_err());
        assert!(Chunked::default().decode(b"1\r\nab\r\n").is_err());
        assert!(Chunked::default().decode(&[b'1'; 5000]).is_err());
    }
}
